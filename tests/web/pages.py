"""What a page must never need or let through."""

import re
from typing import Any

HOSTILE = "<script>alert(1)</script>"


def safe(response: Any) -> None:
    """Strict CSP, and no inline script, style or handler that would need less."""
    policy = response["content-security-policy"]
    page = response.content.decode()
    assert "unsafe-inline" not in policy
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(
        r"<script(?![^>]*(?:\bsrc=|application/json))[^>]*>|\sstyle=|\son\w+=|javascript:", page
    )
    assert HOSTILE not in page
