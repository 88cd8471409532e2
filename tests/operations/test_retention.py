"""What is old goes, what is not stays, and the documentation says when."""

from datetime import timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import Model
from django.utils import timezone

from accounts import retention
from accounts.models import Invitation
from accounts.webhooks.models import Event
from billing.models import Alert, Claim, StripeEvent
from tests import factories
from tokenhub.web import docs
from tokenhub.web.models import ContactRequest, OfferingDay, ProviderDay

pytestmark = pytest.mark.django_db


def _session(at: Any) -> Model:
    return Session.objects.create(session_key=f"{at:%s%f}", session_data="", expire_date=at)


def _device(at: Any) -> Model:
    made = UserSession.objects.create(user=factories.user(), ip="::1", session_key=f"{at:%s%f}")
    UserSession.objects.filter(pk=made.pk).update(last_seen_at=at)
    return made


def _invitation(at: Any) -> Model:
    made = factories.invitation(factories.organization())
    Invitation.objects.filter(pk=made.pk).update(expires_at=at)
    return made


def _event(at: Any) -> Model:
    made = factories.delivery(factories.organization()).event
    Event.objects.filter(pk=made.pk).update(created_at=at)
    return made


def _alert(at: Any) -> Model:
    made = factories.alert(factories.organization())
    Alert.objects.filter(pk=made.pk).update(created_at=at)
    return made


def _stripe(at: Any) -> Model:
    return StripeEvent.objects.create(
        id=f"evt_{at:%s%f}", type="x", status="ignored", payload={}, created_at=at, received_at=at
    )


def _message(at: Any) -> Model:
    return ContactRequest.objects.create(
        reference=factories.marker_address()[7:19], topic="sales", name="N", email="n@example.com", message="M", status="closed", created_at=at
    )  # fmt: skip


def _day(at: Any) -> Model:
    return ProviderDay.objects.create(provider="p", modality="text", day=at, attempts=1, failures=0)


def _offering_day(at: Any) -> Model:
    return OfferingDay.objects.create(
        model="m", provider="p", region="eu", day=at, attempts=1, failures=0
    )


def _claim(at: Any) -> Model:
    made: Claim = Claim.objects.create(
        organization=factories.organization(), key=b"k", content=b"c", holder="h", created_at=at
    )
    return made


MAKERS = {
    "Sessions that have expired": _session,
    "Devices somebody was signed in on, after they were last seen": _device,
    "Invitations, after they expired": _invitation,
    "Webhook events, with their deliveries and attempts": _event,
    "Alerts": _alert,
    "The inbox of Stripe's webhooks": _stripe,
    "Idempotency keys of calls, as digests": _claim,
    "Messages of visitors that were answered or closed": _message,
    "Daily availability of providers": _day,
    "Daily availability of models at providers": _offering_day,
}


@pytest.mark.parametrize("what", MAKERS)
def test_rows_go_when_their_time_is_over_and_not_before(what: str) -> None:
    rule = next(rule for rule in retention.RULES if rule.what == what)
    edge = timezone.now() - timedelta(days=rule.days)
    old, young = MAKERS[what](edge - timedelta(days=1)), MAKERS[what](edge + timedelta(days=1))

    retention.forget()

    kept = type(old)._default_manager.values_list("pk", flat=True)
    assert old.pk not in kept
    assert young.pk in kept


def test_many_rows_go_in_batches_and_no_longer_than_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):
        _session(timezone.now() - timedelta(days=1 + number))

    assert retention.forget(within_s=0) == {}
    assert retention.forget() == {"Sessions that have expired": 5}
    assert retention.forget() == {}


def test_every_period_is_documented() -> None:
    page = docs.page("hosting")
    assert page is not None

    for rule in retention.RULES:
        assert f"| {rule.what} | {rule.days} |" in page.markdown, rule.what
