"""The dialects providers speak: each writes requests, and reads answers and streams into neutral ones."""
