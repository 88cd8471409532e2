"""Limits of a caller, exact over every gateway process: requests per minute, and requests under way.

``shared`` counts in Redis by the atomic steps of ``scripts``; ``local`` counts in this process's memory.
"""
