"""Keys are changed, rotated and revoked, each with its trace in the audit trail, and never made senseless."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.members import remove
from accounts.models import AuditEvent, Membership
from keys import secrets
from keys.budgets import Budget
from keys.errors import InvalidKeyLimits, KeyNotActive, StrongerThanItsMaker
from keys.limits import Changes, refuse_stronger
from keys.models import ApiKey, RetiredSecret
from keys.services import MAX_GRACE, end_grace, mint, revoke, rotate, update
from tests import factories

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
USD = 10**9


def event(key: ApiKey, action: str) -> AuditEvent:
    found: AuditEvent = AuditEvent.objects.get(target=key.id, action=action)
    return found


def test_a_change_is_on_record_with_what_was_before_and_after() -> None:
    key = factories.key(factories.organization(), rpm=10).key

    update(key, {"rpm": 20, "budget": Budget(5_000_000_000, "day"), "name": key.name}, actor=SYSTEM)

    key.refresh_from_db()
    assert (key.rpm, key.budget) == (20, Budget(5_000_000_000, "day"))
    changed = event(key, "key.changed")
    assert changed.before == {"rpm": 10, "budget": None}
    assert changed.after == {"rpm": 20, "budget": {"amount": "5.00", "period": "day"}}


def test_what_is_not_named_stays_and_none_takes_a_limit_away() -> None:
    key = factories.key(
        factories.organization(), rpm=10, allowed_models=["a"], budget=Budget(1, "total")
    ).key

    update(key, {"rpm": None, "budget": None}, actor=SYSTEM)

    key.refresh_from_db()
    assert (key.rpm, key.budget, key.allowed_models) == (None, None, ["a"])


def test_changing_nothing_leaves_no_trace() -> None:
    key = factories.key(factories.organization(), rpm=10).key

    update(key, {"rpm": 10}, actor=SYSTEM)

    assert not AuditEvent.objects.filter(target=key.id, action="key.changed").exists()


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": " "}),
        ("name", {"name": "x" * 81}),
        ("name", {"name": "a\x00b"}),
        ("rpm", {"rpm": 0}),
        ("rpm", {"rpm": 1_000_001}),
        ("expires_at", {"expires_at": timezone.now() - DAY}),
        ("budget", {"budget": Budget(0, "day")}),
        ("budget", {"budget": Budget(10**18 + 1, "day")}),
        ("budget", {"budget": Budget(1, "hour")}),
        ("scopes", {"scopes": ["root"]}),
        ("ip_allowlist", {"ip_allowlist": ["nonsense"]}),
        ("allowed_models", {"allowed_models": ["m" * 121]}),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(field: str, changes: Changes) -> None:
    key = factories.key(factories.organization()).key

    with pytest.raises(InvalidKeyLimits) as refused:
        update(key, changes, actor=SYSTEM)

    assert refused.value.field == field


@pytest.mark.parametrize(
    "fields",
    [
        {"budget_nano": 5},
        {"budget_period": "day"},
        {"budget_nano": 0, "budget_period": "day"},
        {"budget_nano": 5, "budget_period": "hour"},
    ],
)
def test_the_database_refuses_half_a_budget(fields: dict[str, Any]) -> None:
    key = factories.key(factories.organization()).key

    with pytest.raises(IntegrityError, match="key_budget_whole"), transaction.atomic():
        ApiKey.objects.filter(pk=key.pk).update(**fields)


def test_rotating_keeps_the_key_and_its_limits_and_remembers_the_old_secret() -> None:
    minted = factories.key(factories.organization(), rpm=10)
    person = factories.member(minted.key.organization)

    rotated = rotate(minted.key, grace=DAY, actor=SYSTEM, rotated_by=person)

    assert rotated.secret != minted.secret
    assert secrets.kind_of(rotated.secret) == "inference"
    assert (rotated.key.id, rotated.key.rpm) == (minted.key.id, 10)
    assert rotated.key.last4 == rotated.secret[-4:]
    old = RetiredSecret.objects.get(key=minted.key)
    assert bytes(old.digest) == bytes(minted.key.digest)
    assert old.is_accepted
    assert rotated.secret not in str(event(minted.key, "key.rotated").after)
    assert rotated.secret not in repr(rotated)


def test_a_secret_that_was_rotated_out_can_be_refused_before_its_grace_ends() -> None:
    minted = factories.key(factories.organization())
    rotate(minted.key, grace=DAY, actor=SYSTEM)

    ended = end_grace(minted.key, actor=SYSTEM)

    assert ended == 1
    assert not RetiredSecret.objects.get(key=minted.key).is_accepted
    assert end_grace(minted.key, actor=SYSTEM) == 0


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=31)])
def test_a_grace_that_is_none_is_refused(grace: timedelta) -> None:
    with pytest.raises(InvalidKeyLimits):
        rotate(factories.key(factories.organization()).key, grace=grace, actor=SYSTEM)


def test_a_revoked_key_is_neither_changed_nor_rotated() -> None:
    key = revoke(factories.key(factories.organization()).key, actor=SYSTEM)

    with pytest.raises(KeyNotActive):
        update(key, {"rpm": 5}, actor=SYSTEM)
    with pytest.raises(KeyNotActive):
        rotate(key, grace=DAY, actor=SYSTEM)


def test_an_expired_key_can_be_given_a_later_expiry_but_no_new_secret() -> None:
    key = factories.key(factories.organization()).key
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - DAY)

    with pytest.raises(KeyNotActive):
        rotate(key, grace=DAY, actor=SYSTEM)

    assert update(key, {"expires_at": timezone.now() + DAY}, actor=SYSTEM).is_active


def test_who_rotated_a_key_takes_it_along_when_leaving() -> None:
    tenant = factories.organization()
    factories.member(tenant)
    leaver = factories.member(tenant, "developer")
    key = factories.key(tenant).key
    untouched = factories.key(tenant).key
    rotate(key, grace=timedelta(0), actor=SYSTEM, rotated_by=leaver)

    remove(Membership.objects.get(organization=tenant, user=leaver), by=leaver, actor=SYSTEM)

    key.refresh_from_db()
    untouched.refresh_from_db()
    assert key.status == "revoked"
    assert untouched.status == "active"


def test_who_leaves_takes_the_secret_they_were_shown_and_not_the_one_that_replaced_it() -> None:
    tenant = factories.organization()
    owner, leaver, third = (factories.member(tenant) for _ in range(3))
    key = factories.key(tenant, created_by=owner).key
    for person in (leaver, third, owner):
        rotate(key, grace=MAX_GRACE, actor=SYSTEM, rotated_by=person)

    remove(Membership.objects.get(organization=tenant, user=leaver), by=owner, actor=SYSTEM)

    key.refresh_from_db()
    assert key.status == "active"
    accepted = {each.shown_to: each.is_accepted for each in key.retired_secrets.all()}
    assert accepted == {owner: True, leaver: False, third: True}
    assert event(key, "key.grace_ended").after == {"secrets": 1}


def test_a_secret_that_nobody_knows_the_reader_of_goes_with_whoever_may_have_read_it() -> None:
    tenant = factories.organization()
    owner, leaver, third = (factories.member(tenant) for _ in range(3))
    key = factories.key(tenant, created_by=owner).key
    for person in (leaver, third):
        rotate(key, grace=MAX_GRACE, actor=SYSTEM, rotated_by=person)
    key.retired_secrets.update(shown_to=None)  # as the version before writes them

    remove(Membership.objects.get(organization=tenant, user=leaver), by=owner, actor=SYSTEM)

    key.refresh_from_db()
    later, first = key.retired_secrets.all()
    assert (key.status, first.is_accepted, later.is_accepted) == ("active", True, False)


def test_a_key_without_a_budget_has_none() -> None:
    assert mint(factories.organization(), "x", actor=SYSTEM).key.budget is None


@pytest.mark.parametrize(
    "changes",
    [
        {"allowed_models": []},
        {"allowed_models": ["a", "c"]},
        {"ip_allowlist": []},
        {"ip_allowlist": ["10.0.0.0/7"]},
        {"ip_allowlist": ["::/0"]},
        {"scopes": ["read", "billing"]},
        {"rpm": None},
        {"rpm": 101},
        {"expires_at": None},
        {"expires_at": timezone.now() + 3 * DAY},
        {"budget": None},
        {"budget": Budget(11 * USD, "week")},
        {"budget": Budget(1 * USD, "day")},
        {"budget": Budget(10 * USD, "month")},
        {"budget": Budget(11 * USD, "total")},
    ],
)
def test_a_management_key_gives_no_key_more_than_it_has(changes: Changes) -> None:
    maker = factories.key(
        factories.organization(), kind="management", allowed_models=["a", "b"],
        ip_allowlist=["10.0.0.0/8"], rpm=100, expires_at=timezone.now() + 2 * DAY, budget=Budget(10 * USD, "week"),
    ).key  # fmt: skip

    with pytest.raises(StrongerThanItsMaker):
        refuse_stronger(maker, changes)


@pytest.mark.parametrize(
    ("makers", "wanted"),
    [
        (None, None),
        (None, Budget(10 * USD, "day")),
        (Budget(10 * USD, "week"), Budget(10 * USD, "week")),
        (Budget(10 * USD, "week"), Budget(10 * USD, "total")),
        (Budget(10 * USD, "day"), Budget(10 * USD, "month")),
    ],
)
def test_a_management_key_gives_a_budget_that_keeps_to_its_own(
    makers: Budget | None, wanted: Budget | None
) -> None:
    maker = factories.key(factories.organization(), kind="management", budget=makers).key

    refuse_stronger(maker, {"budget": wanted})


def test_a_management_key_may_give_what_it_has() -> None:
    maker = factories.key(
        factories.organization(), kind="management", allowed_models=["a", "b"],
        ip_allowlist=["10.0.0.0/8"], rpm=100,
    ).key  # fmt: skip

    refuse_stronger(
        maker,
        {"allowed_models": ["a"], "ip_allowlist": ["10.1.0.0/16"], "rpm": 5, "scopes": ["read"]},
    )
