"""The rooms of the console and of an account, as their side bars list them. Only what is built is here."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from accounts.roles import Permission

CONSOLE = (
    (
        "Build",
        (
            ("overview", "Overview", "home"),
            ("playground", "Playground", "chat-bubble-left-right"),
            ("keys", "API keys", "key"),
        ),
    ),
    (
        "Observe",
        (
            ("usage", "Usage", "chart-bar"),
            ("requests", "Requests", "queue-list"),
            ("budgets", "Budgets", "bell-alert"),
            ("audit", "Audit trail", "document-magnifying-glass"),
        ),
    ),
    ("Money", (("billing", "Billing", "banknotes"), ("plan", "Plan", "rectangle-stack"))),
    (
        "Organization",
        (
            ("preferences", "Preferences", "adjustments-horizontal"),
            ("routing", "Routing", "arrows-right-left"),
            ("members", "Members", "users"),
            ("webhooks", "Webhooks", "bolt"),
            ("settings", "Settings", "cog-6-tooth"),
        ),
    ),
)
# After “g”, the key that leads there.
KEYS = {"overview": "o", "usage": "u", "requests": "r", "keys": "k", "billing": "b"}
# Rooms that not every member may enter.
NEEDS = {
    "playground": Permission.USE_PLAYGROUND,
    "audit": Permission.VIEW_AUDIT,
    "webhooks": Permission.MANAGE_SETTINGS,
}
ACCOUNT = (
    (
        "Your account",
        (
            ("me_profile", "Profile", "user"),
            ("account_email", "Email addresses", "envelope"),
            ("me_security", "Security", "shield-check"),
            ("account_change_password", "Password", "lock-closed"),
            ("mfa_index", "Passkeys and codes", "finger-print"),
            ("usersessions_list", "Sessions", "computer-desktop"),
        ),
    ),
    (
        "You and the site",
        (
            ("notifications", "Notifications", "bell"),
            ("me_notifications", "What to hear of", "envelope-open"),
            ("me_appearance", "Appearance", "swatch"),
            ("me_export", "Your data", "arrow-down-tray"),
            ("me_delete", "Delete account", "trash"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Room:
    """A page one can go to from everywhere."""

    name: str
    icon: str
    url: str
    is_current: bool
    key: str = ""


Groups = list[tuple[str, list[Room]]]


def console_rooms(request: HttpRequest, slug: str) -> Groups:
    """An organization's rooms, as far as the member's role opens them."""
    return _groups(request, CONSOLE, [slug], top="overview")


def account_rooms(request: HttpRequest) -> Groups:
    """A person's own rooms."""
    return _groups(request, ACCOUNT, [], top="")


def _groups(
    request: HttpRequest,
    groups: Iterable[tuple[str, Iterable[tuple[str, str, str]]]],
    args: list[str],
    *,
    top: str,
) -> Groups:
    """``top`` names the room whose URL is the beginning of all others."""
    found = []
    for group, rooms in groups:
        listed = []
        for view, name, icon in rooms:
            if view in NEEDS and NEEDS[view] not in getattr(request, "permissions", ()):
                continue
            url = reverse(view, args=args)
            here = request.path == url if view == top else request.path.startswith(url)
            listed.append(Room(name, icon, url, here, KEYS.get(view, "")))
        found.append((group, listed))
    return found
