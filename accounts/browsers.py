"""What people call the browser that a ``User-Agent`` header stands for.

A hint in a list of sessions: a few marks are enough for it, and a parser's database would have to be kept up.
"""

# In this order: most browsers name, after themselves, those that they want to be taken for.
BROWSERS = (
    (("Edg/", "EdgA/", "EdgiOS/"), "Edge"),
    (("OPR/", "OPT/"), "Opera"),
    (("Firefox/", "FxiOS/"), "Firefox"),
    (("Chrome/", "CriOS/", "Chromium/"), "Chrome"),
    (("Safari/",), "Safari"),
)
SYSTEMS = (
    (("Android",), "Android"),
    (("iPhone", "iPod"), "iPhone"),
    (("iPad",), "iPad"),
    (("Windows",), "Windows"),
    (("Mac OS X", "Macintosh"), "macOS"),
    (("CrOS",), "ChromeOS"),
    (("Linux",), "Linux"),
)


def browser_name(user_agent: str) -> str:
    """“Chrome on macOS”, or as much of it as can be told. A hint to its owner, and no proof of anything."""
    browser = _first(BROWSERS, user_agent)
    system = _first(SYSTEMS, user_agent)
    if not browser and not system:
        return "Unknown browser"
    return " on ".join(filter(None, [browser or "Unknown browser", system]))


def _first(names: tuple[tuple[tuple[str, ...], str], ...], user_agent: str) -> str:
    return next((name for marks, name in names if any(mark in user_agent for mark in marks)), "")
