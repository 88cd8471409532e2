"""Every address of the site, found in the URLconf: a new page is tried without anybody thinking of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.urls.exceptions import Resolver404

# What stands in for the parts of an address; nothing of that name exists.
FILLING = {
    "int": "1",
    "slug": "nothing",
    "str": "nothing",
    "uuid": "0" * 8 + "-0000" * 3 + "-" + "0" * 12,
    "path": "1",
}
# Addresses that are written as a regular expression.
BY_HAND = {
    "account_reset_password_from_key": "/accounts/password/reset/key/1-set-password/",
}


@dataclass(frozen=True, slots=True)
class Address:
    """One pattern of the URLconf with something filled in."""

    name: str
    path: str
    view: Any

    def __str__(self) -> str:
        return self.path


def every_address() -> list[Address]:
    """All of them, the admin's and those of packages included."""
    return list(_walk(get_resolver(), "/"))


def _walk(resolver: URLResolver, prefix: str) -> Iterator[Address]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern, route)
        elif isinstance(pattern, URLPattern):
            name = pattern.name or ""
            path = BY_HAND.get(name) or _filled(route)
            if path is None:
                continue
            yield Address(name, path, resolve(path).func)


def _filled(route: str) -> str | None:
    """A path that the route matches; ``None`` for a catch-all, which is no page of its own."""
    path = re.sub(r"<(?:(\w+):)?\w+>", lambda found: FILLING[found[1] or "str"], route)
    path = path.replace("^", "").replace("$", "").replace("\\Z", "").replace(".*", "nothing")
    path = re.sub(r"\(\?P<\w+>(?:[^()]|\([^()]*\))*\)", "nothing", path)
    try:
        resolve(path)
    except Resolver404:
        assert "(?P<" in route, f"{route} needs something of its own to be filled in"
        return None
    return path
