"""Every route of the site, from the URLconf, with an example to visit: no page is left out by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests import factories
from tokenhub.urls import organization, person, public

# Not pages of the site: the operators' admin and the REST API have tests of their own.
ELSEWHERE = ("admin/", "api/", "o/<slug:slug>/", "accounts/")
# What stands in a path where it is not an object of an organization.
EXAMPLES: dict[str, Any] = {
    "docs_page": lambda: ["routing"],
    "docs_markdown": lambda: ["routing"],
    "model": lambda: ["deepseek-v3.2"],
    "provider": lambda: ["deepseek"],
    "announcement": lambda: [factories.announcement().slug],
    "legal": lambda: ["terms"],
    "contact_sent": lambda: ["ABCD2345"],
    "invitation": lambda: ["no-such-token"],
    "account_confirm_email": lambda: ["no-such-key"],
    "account_reset_password_from_key": lambda: ["1", "no-such"],
    "me_session_end": lambda: [1],
    "mfa_edit_webauthn": lambda: [1],
    "mfa_remove_webauthn": lambda: [1],
}


@dataclass(frozen=True, slots=True)
class Route:
    """A named route and whose it is: ``public``, ``person``, ``account`` or ``operations``."""

    name: str
    kind: str

    def path(self) -> str:
        """An example of it."""
        arguments = EXAMPLES[self.name]() if self.name in EXAMPLES else []
        return reverse(self.name, args=arguments)


def site_routes() -> list[Route]:
    """Every route that is not below an organization, the admin or the API."""
    mine = {
        **{str(pattern.name): "public" for pattern in public},
        **{str(pattern.name): "person" for pattern in person},
    }
    found: dict[str, Route] = {}
    for prefix, pattern in _walk(get_resolver().url_patterns, ""):
        name = str(pattern.name)
        if prefix.startswith("accounts/"):
            found.setdefault(name, Route(name, "account"))
        elif not prefix.startswith(ELSEWHERE):
            found.setdefault(name, Route(name, mine.get(name, "operations")))
    return list(found.values())


def organization_names() -> set[str]:
    """The names of every page below ``/o/<slug>/``."""
    return {str(pattern.name) for pattern in organization if isinstance(pattern, URLPattern)}


def _walk(patterns: Any, prefix: str) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        here = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if not here.startswith("admin/") and not here.startswith("api/"):
                yield from _walk(pattern.url_patterns, here)
        elif pattern.name:
            yield here, pattern
