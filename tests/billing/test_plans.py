"""Plans and agreements: in force from their instant, never rewritten, and always explained."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.models import Organization
from billing.errors import PlanConflict
from billing.models import Agreement, PlanVersion, Subscription
from billing.plans import current_versions, explain_fee, put_on_plan, terms_of
from tests import factories

pytestmark = pytest.mark.django_db


def agree(tenant: Organization, **fields: Any) -> Agreement:
    made: Agreement = Agreement.objects.create(
        organization=tenant, **{"agreed_by": "both", "reference": "C-1", **fields}
    )
    return made


def test_an_organization_begins_on_starter() -> None:
    terms = terms_of(factories.organization(plan="starter"))

    assert (terms.plan.slug, terms.fee_bps, terms.rpm, terms.until) == ("starter", 300, 600, None)


def test_an_agreement_replaces_what_it_names_and_nothing_else() -> None:
    tenant = factories.organization(plan="pro")
    agreement = agree(tenant, fee_bps=0)

    terms = terms_of(tenant)

    assert (terms.fee_bps, terms.rpm, terms.concurrency) == (0, 6_000, 500)
    assert terms.fee_source == f"agreement:{agreement.pk}"
    assert "C-1" in explain_fee(tenant, terms.fee_source)


def test_terms_change_at_their_instant_and_say_when() -> None:
    tenant = factories.organization(plan="pro")
    now = timezone.now()
    start, end = now + timedelta(hours=1), now + timedelta(hours=2)
    agree(tenant, fee_bps=100, effective_from=start, effective_until=end)
    moment = timedelta(microseconds=1)

    rates = [terms_of(tenant, at).fee_bps for at in (start - moment, start, end - moment, end)]

    assert rates == [300, 100, 100, 300]
    assert terms_of(tenant).until == start
    assert terms_of(tenant, start).until == end


def test_a_new_version_of_a_plan_applies_from_its_instant() -> None:
    tenant = factories.organization(plan="starter")
    start = timezone.now() + timedelta(minutes=5)
    PlanVersion.objects.create(
        plan_id="starter", effective_from=start, rpm=1, concurrency=1, fee_bps=500
    )

    assert terms_of(tenant).fee_bps == 300
    assert terms_of(tenant).until == start
    assert terms_of(tenant, start).fee_bps == 500
    assert [version.plan_id for version in current_versions()] == ["starter", "pro", "enterprise"]


def test_another_tenants_agreement_is_never_named() -> None:
    theirs = agree(factories.organization(), fee_bps=1)

    assert explain_fee(factories.organization(), f"agreement:{theirs.pk}") == ""


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_planversion SET fee_bps = 0",
        "DELETE FROM billing_planversion",
        "UPDATE billing_agreement SET fee_bps = 0",
        "DELETE FROM billing_agreement",
        "UPDATE billing_subscription SET plan_id = 'enterprise'",
        "UPDATE billing_subscription SET starts_at = starts_at - interval '1 year'",
        "DELETE FROM billing_subscription",
    ],
)
def test_what_has_been_in_force_is_never_rewritten(statement: str) -> None:
    agree(factories.organization(plan="pro"), fee_bps=10)

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_two_of_a_kind_are_never_in_force_at_once() -> None:
    tenant = factories.organization(plan="pro")
    agree(tenant, fee_bps=10)

    with pytest.raises(IntegrityError), transaction.atomic():
        agree(tenant, rpm=10)
    with pytest.raises(IntegrityError), transaction.atomic():
        Subscription.objects.create(organization=tenant, plan_id="enterprise", source="operator")


def test_a_plan_follows_another_without_a_gap() -> None:
    tenant = factories.organization(plan="pro")

    put_on_plan(tenant, "enterprise", actor=SYSTEM)
    assert terms_of(tenant).plan.slug == "enterprise"
    put_on_plan(tenant, "starter", actor=SYSTEM)

    assert terms_of(tenant).plan.slug == "starter"
    assert Subscription.objects.filter(organization=tenant).count() == 2


def test_a_plan_that_is_already_set_for_later_is_not_overrun() -> None:
    tenant = factories.organization(plan="starter")
    later = timezone.now() + timedelta(days=3)
    put_on_plan(tenant, "enterprise", actor=SYSTEM, starts_at=later)

    with pytest.raises(PlanConflict):
        put_on_plan(tenant, "pro", actor=SYSTEM)
    assert put_on_plan(tenant, "pro", actor=SYSTEM, ends_at=later) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"fee_bps": 10_001},
        {"rpm": 0},
        {"fee_bps": 1, "agreed_by": ""},
        {"fee_bps": 1, "reference": ""},
        {"fee_bps": 1, "effective_until": datetime(2020, 1, 1, tzinfo=UTC)},
    ],
)
def test_an_agreement_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        agree(factories.organization(), **fields)
