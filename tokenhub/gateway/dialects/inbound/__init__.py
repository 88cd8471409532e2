"""The dialects clients speak: each parses requests, and writes answers and streams from neutral ones."""
