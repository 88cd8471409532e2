"""Roles of a member and what each may do (INTERFACE.md §5). One table, used by pages, REST and htmx alike."""

from django.db import models


class Role(models.TextChoices):
    """A member's role in one organization."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    BILLING = "billing", "Billing"
    DEVELOPER = "developer", "Developer"
    VIEWER = "viewer", "Viewer"


class Permission(models.TextChoices):
    """Something a member may be allowed to do."""

    VIEW = "view", "See the organization, its usage and its requests"
    MANAGE_KEYS = "manage_keys", "Create, change and revoke API keys"
    USE_PLAYGROUND = "use_playground", "Make calls from the playground"
    MANAGE_PREFERENCES = "manage_preferences", "Change routing preferences"
    VIEW_BILLING = "view_billing", "See the balance, the ledger and invoices"
    MANAGE_BILLING = "manage_billing", "Top up and change the plan and billing profile"
    MANAGE_MEMBERS = "manage_members", "Invite, change and remove members"
    VIEW_AUDIT = "view_audit", "See the audit trail"
    MANAGE_SETTINGS = "manage_settings", "Change the organization's settings"
    DELETE_ORGANIZATION = "delete_organization", "Delete the organization or transfer its ownership"


_ALL = frozenset(Permission)
_READ = frozenset({Permission.VIEW, Permission.VIEW_BILLING, Permission.VIEW_AUDIT})

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.OWNER: _ALL,
    Role.ADMIN: _ALL - {Permission.DELETE_ORGANIZATION},
    Role.BILLING: _READ | {Permission.MANAGE_BILLING},
    Role.DEVELOPER: frozenset(
        {
            Permission.VIEW,
            Permission.MANAGE_KEYS,
            Permission.USE_PLAYGROUND,
            Permission.VIEW_BILLING,
        }
    ),
    Role.VIEWER: _READ - {Permission.VIEW_AUDIT},
}


def allows(role: str, permission: Permission) -> bool:
    """Whether a member with ``role`` may do ``permission``."""
    return permission in PERMISSIONS[Role(role)]


def roles_that_may(permission: Permission) -> list[Role]:
    """Every role with a permission."""
    return [role for role in Role if permission in PERMISSIONS[role]]
