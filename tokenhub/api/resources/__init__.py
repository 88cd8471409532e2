"""A module per resource: its objects, what may be sent, and its operations."""
