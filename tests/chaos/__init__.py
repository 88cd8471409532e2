"""Every process of a small deployment killed again and again under mixed load; then the books are read.

A short run is a test (``tests/security/test_everything_killed.py``). By hand, for as long as wanted:
``.venv/bin/python -m tests.chaos --minutes 10`` (``--help`` says what else).
"""
