"""What webhooks are told about money, keys, people and announcements, each in the moment it happens."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import members
from accounts.audit import SYSTEM, Actor
from accounts.models import Invitation
from accounts.roles import Role
from accounts.webhooks.events import KINDS
from accounts.webhooks.models import Event
from billing import alerts
from billing.invoices import issue_credit_note
from billing.models import TopUp
from billing.payments import topups
from keys.services import revoke
from tests import factories
from tokenhub.web.announcing import announce

pytestmark = pytest.mark.django_db
USD = 1_000_000_000


@pytest.fixture
def tenant() -> Any:
    """An organization whose webhook wants everything."""
    made = factories.organization()
    factories.endpoint(made)
    return made


def told(tenant: Any, kind: str) -> list[Any]:
    assert kind in KINDS
    found = Event.objects.for_organization(tenant).filter(kind=kind).order_by("id")
    return [event.data for event in found]


def test_a_low_balance_is_told_once(tenant: Any) -> None:
    factories.credit(tenant, USD)
    alerts.set_budget(tenant, low_balance_nano=5 * USD, monthly_nano=None, actor=SYSTEM)

    alerts.check()
    alerts.check()

    assert told(tenant, "balance.low") == [{"balance": "1.00", "threshold": "5.00"}]


def test_each_threshold_of_a_budget_is_told(tenant: Any) -> None:
    factories.credit(tenant, 10 * USD)
    alerts.set_budget(tenant, low_balance_nano=None, monthly_nano=2 * USD, actor=SYSTEM)
    factories.charge(tenant, USD, service_fee_bps=0)
    alerts.check()
    assert [data["percent"] for data in told(tenant, "budget.threshold")] == [50]

    factories.charge(tenant, USD, service_fee_bps=0)
    alerts.check()

    assert [data["percent"] for data in told(tenant, "budget.threshold")] == [50, 80]
    assert told(tenant, "budget.exceeded") == [
        {"budget": {"of": "organization", "period": "month"}, "amount": "2.00", "spent": "2.00", "percent": 100}
    ]  # fmt: skip


def test_a_top_up_is_told_when_it_is_credited_and_when_it_fails(tenant: Any) -> None:
    paid = factories.top_up(tenant)
    unpaid = TopUp.objects.create(organization=tenant, source="checkout", amount_nano=5 * USD)
    topups.fail(unpaid, "Declined.")
    topups.fail(unpaid, "Declined again.")

    assert [data["id"] for data in told(tenant, "topup.succeeded")] == [paid.id]
    assert told(tenant, "topup.failed") == [
        {"id": unpaid.id, "status": "failed", "source": "checkout", "amount": "5.00", "fee": "0.00", "failure": "Declined."}
    ]  # fmt: skip


def test_an_invoice_and_its_correction_are_told(tenant: Any) -> None:
    invoice = factories.invoice(tenant)
    note = issue_credit_note(invoice, 1_000, reason="Courtesy", actor=SYSTEM)

    first, second = told(tenant, "invoice.issued")

    assert (first["number"], first["kind"], first["corrects"]) == (invoice.number, "invoice", None)
    assert (second["number"], second["corrects"]) == (note.number, invoice.number)
    assert second["total"] == "0.000001"


def test_a_key_is_told_without_its_secret(tenant: Any) -> None:
    minted = factories.key(tenant, name="backend")
    revoke(minted.key, actor=SYSTEM)

    created, revoked = told(tenant, "key.created") + told(tenant, "key.revoked")

    assert created["id"] == revoked["id"] == minted.key.id
    assert created["after"]["name"] == "backend"
    assert minted.secret not in str(Event.objects.for_organization(tenant).values_list("data"))


def test_members_are_told_of_from_invitation_to_removal(tenant: Any) -> None:
    owner, newcomer = factories.member(tenant), factories.user()
    actor = Actor.user(owner)
    members.invite(tenant, newcomer.email, Role.VIEWER, by=owner, actor=actor)
    invitation = Invitation.objects.for_organization(tenant).get()
    joined = members.accept(invitation, newcomer, ip_address=None)
    members.change_role(joined, Role.DEVELOPER, by=owner, actor=actor)
    members.remove(joined, by=owner, actor=actor)
    leaver = factories.membership(tenant)
    members.remove(leaver, by=leaver.user, actor=Actor.user(leaver.user))

    assert [data["id"] for data in told(tenant, "member.invited")] == [newcomer.email]
    assert [data["after"] for data in told(tenant, "member.joined")] == [{"role": "viewer"}]
    assert [data["before"] for data in told(tenant, "member.role_changed")] == [{"role": "viewer"}]
    assert [data["actor"]["name"] for data in told(tenant, "member.removed")] == [owner.email]
    assert [data["id"] for data in told(tenant, "member.left")] == [leaver.user.email]


def test_an_announcement_is_told_once_it_is_public_to_those_it_is_for(tenant: Any) -> None:
    now = timezone.now()
    starter = factories.organization(plan="starter")
    factories.endpoint(starter)
    everyone = factories.announcement()
    factories.announcement(plans=["enterprise"], title="For some")
    factories.announcement(published_at=now + timedelta(hours=1), title="Later")
    factories.announcement(published_at=now - timedelta(days=2), title="Long ago")
    factories.announcement(published_at=None, title="Draft")

    announce()
    announce()

    assert [data["slug"] for data in told(starter, "announcement.published")] == [everyone.slug]
    titles = sorted(data["title"] for data in told(tenant, "announcement.published"))
    assert titles == ["For some", "Maintenance on Sunday"]
