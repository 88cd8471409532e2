"""Writes on preferences: an organization's hard boundaries."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.models import Organization
from routing.errors import InvalidPreferences, PreferencesChanged
from routing.models import Certification, DataPolicy, Model, Preferences, Provider, Region

LISTS = (
    "allowed_regions", "allowed_providers", "denied_providers", "allowed_models", "denied_models", "require",
)  # fmt: skip


@transaction.atomic
def set_preferences(
    organization: Organization,
    changes: Mapping[str, Any],
    *,
    actor: Actor,
    compliance_extension: bool,
    if_version: Collection[int] | None = None,
) -> Preferences:
    """Change some preferences; what is not named stays. In force in every gateway at the commit.

    Raises ``InvalidPreferences`` for names that do not exist, and for certifications where the plan
    lacks the compliance extension; ``PreferencesChanged`` where they are at none of ``if_version``.
    """
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    preferences, is_new = Preferences.objects.get_or_create(organization=organization)
    if if_version is not None and (0 if is_new else preferences.version) not in if_version:
        raise PreferencesChanged("The preferences were changed meanwhile. Read them again.")
    before = _as_dict(preferences)
    for field, value in changes.items():
        if field in LISTS:
            setattr(preferences, field, _checked(field, value, compliance_extension))
        elif field == "strategy" and value in Preferences.Strategy.values:
            preferences.strategy = value
        else:
            raise InvalidPreferences(field, f"“{field}” is not a preference with that value.")
    after = _as_dict(preferences)
    if after != before:
        preferences.version += 1
        preferences.updated_at = timezone.now()
        preferences.save()
        changed = {field for field in after if after[field] != before[field]}
        record(
            organization,
            actor,
            "preferences.changed",
            f"version {preferences.version}",
            before={field: before[field] for field in sorted(changed)},
            after={field: after[field] for field in sorted(changed)},
        )
    return preferences


def version_of(preferences: Preferences) -> int:
    """The version of preferences; 0 where none were ever set."""
    return preferences.version if preferences.pk else 0


def _as_dict(preferences: Preferences) -> dict[str, Any]:
    return {field: getattr(preferences, field) for field in (*LISTS, "strategy")}


def _checked(field: str, value: Sequence[str], compliance_extension: bool) -> list[str]:
    wanted = sorted(set(value))
    unknown = sorted(set(wanted) - _known(field))
    if unknown:
        raise InvalidPreferences(field, f"There is no “{unknown[0]}” to choose here.")
    certifications = sorted(set(wanted) & set(Certification.values))
    if field == "require" and certifications and not compliance_extension:
        raise InvalidPreferences(
            field, "Required certifications are part of the Enterprise compliance extension."
        )
    return wanted


def _known(field: str) -> set[str]:
    if field.endswith("regions"):
        return set(Region.objects.values_list("slug", flat=True))
    if field.endswith("providers"):
        return set(Provider.objects.values_list("slug", flat=True))
    if field.endswith("models"):
        return set(Model.objects.values_list("slug", flat=True))
    return {*Certification.values, *DataPolicy.values}
