"""What ``/v1`` answers, a module for each family of endpoints; each endpoint is a function of a ``Call``."""
