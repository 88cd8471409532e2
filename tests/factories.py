"""What tests are made of: plain functions with sensible defaults. Each test has its own organization."""

import json
import uuid
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.db import connection

from accounts.audit import SYSTEM
from accounts.ids import uuid7
from accounts.models import Invitation, Membership, Organization, User
from accounts.roles import Role
from accounts.webhooks.models import Delivery, Event
from accounts.webhooks.models import Endpoint as WebhookEndpoint
from billing.invoices import close_due
from billing.models import (
    Alert,
    ArchivedMonth,
    ArchivedUsage,
    BillingProfile,
    Invoice,
    MediaTask,
    PaymentMethod,
    TopUp,
    Usage,
)
from billing.payments import gate, topups
from billing.payments.customers import profile_of
from billing.plans import put_on_plan
from billing.services import grant_credit, open_accounts
from keys.services import Minted, mint
from routing.models import Endpoint, Model, Offering, Price, PriceComponent, Provider
from routing.seed.load import BASE_PATHS
from tokenhub.web.models import Announcement

PASSWORD = "correct horse battery"


def marker_address() -> str:
    """An address that nobody has."""
    return f"person-{uuid.uuid4().hex[:12]}@example.com"


@cache
def _hashed() -> str:
    """The password's hash, worked out once: a good hash takes half a second."""
    return make_password(PASSWORD)


def user(email: str | None = None, **extra: Any) -> User:
    """A person with a verified address."""
    email = email or marker_address()
    made = User(email=email, password=_hashed(), **extra)
    made.save()
    EmailAddress.objects.create(user=made, email=email, verified=True, primary=True)
    return made


def organization(
    name: str = "Acme", *, plan: str = "enterprise", credit_nano: int = 0
) -> Organization:
    """A tenant on a plan, with money if wanted."""
    made = Organization.objects.create(name=name, slug=f"org-{uuid.uuid4().hex[:12]}")
    open_accounts(made)
    if plan != "starter":
        put_on_plan(made, plan, actor=SYSTEM)
    if credit_nano:
        credit(made, credit_nano)
    return made


def credit(tenant: Organization, amount_nano: int) -> None:
    """Money on the balance."""
    grant_credit(
        tenant, amount_nano, reason="test", reference=f"credit:{uuid.uuid4().hex}", actor=SYSTEM
    )


def member(tenant: Organization, role: str = Role.OWNER) -> User:
    """A person with a role in an organization."""
    person = user()
    Membership.objects.create(organization=tenant, user=person, role=role)
    return person


def membership(tenant: Organization, role: str = Role.VIEWER) -> Membership:
    """Somebody's place in an organization."""
    return Membership.objects.get(organization=tenant, user=member(tenant, role))  # type: ignore[no-any-return]


def invitation(tenant: Organization) -> Invitation:
    """An open invitation whose mail was never sent."""
    made: Invitation = Invitation.objects.create(
        organization=tenant, email=marker_address(), role=Role.VIEWER, digest=uuid.uuid4().bytes,
        expires_at=datetime.now(UTC) + timedelta(days=7),
    )  # fmt: skip
    return made


def key(tenant: Organization, **limits: Any) -> Minted:
    """An inference key and its secret."""
    return mint(tenant, limits.pop("name", "test key"), actor=SYSTEM, **limits)


def usage(tenant: Organization, **fields: Any) -> Usage:
    """A request on record, without the ledger that a real one has."""
    minted = fields.pop("key", None)
    at = fields.get("created_at")
    # An id begins with its request's millisecond.
    id_ = (
        uuid7().int
        if at is None
        else int(at.timestamp() * 1000) << 80 | uuid7().int & (1 << 80) - 1
    )
    values: dict[str, Any] = {
        "id": f"req_{uuid.UUID(int=id_).hex}",
        "key_id": uuid.uuid4() if minted is None else uuid.UUID(hex=minted.id[4:]),
        "key_name": "test key",
        "created_at": datetime.now(UTC),
        "status": "succeeded",
        "billed": True,
        "error_code": "",
        "dialect": "openai",
        "modality": "text",
        "model_requested": "deepseek-v3.2",
        "model": "deepseek-v3.2",
        "provider": "deepseek",
        "region": "cn",
        "stream": False,
        "units": {"input": 10},
        "lines": [{"unit": "input", "count": 10, "price": 280_000_000, "fee": 2800}],
        "model_fee_nano": 2_800,
        "service_fee_nano": 84,
        "service_fee_bps": 300,
        "total_nano": 2_884,
        "attempts": [
            {
                "provider": "deepseek",
                "region": "cn",
                "outcome": "succeeded",
                "status": 200,
                "latency_ms": 12,
            }
        ],
        "routing": {"candidates": [], "excluded": [], "policy_version": 1},
        "latency_ms": 12,
        **fields,
    }
    made: Usage = Usage.objects.create(organization=tenant, **values)
    return made


def result(tenant: Organization, fee_nano: int = 100_000, **fields: Any) -> dict[str, Any]:
    """A billed request as a gateway hands it to ``billing_settle``."""
    bps = fields.get("service_fee_bps", 300)
    return {
        "id": str(uuid7()), "lease_id": str(uuid.uuid4()), "organization_id": tenant.id[4:],
        "key_id": str(uuid.uuid4()), "key_name": "k", "created_at": datetime.now(UTC).isoformat(),
        "status": "succeeded", "billed": True, "error_code": "", "dialect": "openai", "modality": "text",
        "model_requested": "m", "model": "m", "provider": "p", "region": "eu", "stream": False,
        "units": {"input": 7}, "lines": [{"unit": "input", "count": 7, "price": 1, "fee": fee_nano}],
        "model_fee_nano": fee_nano, "service_fee_nano": (fee_nano * bps + 5_000) // 10_000,
        "service_fee_bps": bps, "service_fee_source": "plan:1", "capped": False, "price_version": 1,
        "attempts": [], "routing": {}, "latency_ms": 1, "session_id": "", **fields,
    }  # fmt: skip


def charge(tenant: Organization, fee_nano: int = 100_000, **fields: Any) -> str:
    """A billed request as the gateway settles one; its id. The balance must cover it."""
    request = fields.pop("id", uuid7())
    one = result(tenant, fee_nano, id=str(request), **fields)
    total_nano = one["model_fee_nano"] + one["service_fee_nano"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT granted FROM billing_draw_lease(%s, %s, 'test', %s, %s, 30)",
            [one["lease_id"], tenant.id[4:], max(total_nano, 1), max(total_nano, 1)],
        )
        assert cursor.fetchone()[0] >= total_nano, "the balance does not cover it"
        cursor.execute("SELECT billing_settle(%s, %s::json)", [uuid.uuid4(), json.dumps([one])])
        assert cursor.fetchone()[0] == []
        cursor.execute("SELECT billing_return_lease(%s, %s, 0)", [one["lease_id"], tenant.id[4:]])
    return f"req_{request.hex}"


def profile(tenant: Organization, **fields: str) -> BillingProfile:
    """A billing profile with a customer at Stripe."""
    made = profile_of(tenant)
    for name, value in {"stripe_customer_id": f"cus_{tenant.id[4:]}", **fields}.items():
        setattr(made, name, value)
    made.save()
    return made


def top_up(tenant: Organization, amount_nano: int = 50_000_000_000) -> TopUp:
    """A payment by card that was credited, as if Stripe had said so."""
    customer = profile(tenant).stripe_customer_id
    made: TopUp = TopUp.objects.create(
        organization=tenant, source="checkout", amount_nano=amount_nano
    )
    topups.apply(
        gate.Payment(
            stripe_id=f"pi_{made.id}", status="succeeded", amount_nano=amount_nano, currency="usd",
            top_up=made.id, customer=str(customer),
        )
    )  # fmt: skip
    made.refresh_from_db()
    return made


def payment_method(tenant: Organization) -> PaymentMethod:
    """A saved card that Stripe does not know."""
    made: PaymentMethod = PaymentMethod.objects.create(
        organization=tenant, stripe_id=f"pm_{uuid.uuid4().hex}", brand="visa", last4="4242",
        exp_month=12, exp_year=2031,
    )  # fmt: skip
    return made


def invoice(tenant: Organization) -> Invoice:
    """The invoice of this month, closed when it is over."""
    credit(tenant, 1_000_000_000)
    charge(tenant)
    close_due(datetime.now(UTC) + timedelta(days=32))
    return Invoice.objects.for_organization(tenant).get()  # type: ignore[no-any-return]


def archived_usage(tenant: Organization, month: date) -> ArchivedUsage:
    """A month of usage that is in a file by now: one request, free of charge."""
    sealed, _ = ArchivedMonth.objects.get_or_create(month=month, defaults={"digest": "0" * 64})
    made: ArchivedUsage = ArchivedUsage.objects.create(
        organization=tenant,
        month=sealed,
        requests=1,
        billed=1,
        model_fee_nano=0,
        service_fee_nano=0,
    )
    return made


def announcement(**fields: Any) -> Announcement:
    """Something everybody is told."""
    values = {
        "slug": f"a-{uuid.uuid4().hex}",
        "title": "Maintenance on Sunday",
        "body": "At *noon*.",
    }
    return Announcement.objects.create(**{**values, "published_at": datetime.now(UTC), **fields})


def alert(tenant: Organization) -> Alert:
    """Something said."""
    made: Alert = Alert.objects.create(
        organization=tenant, kind="budget", threshold=50, window=uuid.uuid4().hex, message="Half."
    )
    return made


def offering(
    model: str, modality: str, place: tuple[str, str, str], providers_url: str, **fields: Any
) -> Offering:
    """A model at ``place`` (provider, region, dialect) of the simulated providers.

    Names that begin with ``sim-`` are offered there by every provider. ``amounts`` are nano-USD by unit.
    """
    slug, region, dialect = place
    endpoint, _ = Endpoint.objects.get_or_create(
        provider=Provider.objects.get(slug=slug), region_id=region, dialect=dialect,
        defaults={
            "base_url": f"{providers_url}/{slug}/{region}{BASE_PATHS[dialect]}",
            "credential": f"sim-{slug}",
        },
    )  # fmt: skip
    kind, _ = Model.objects.update_or_create(
        slug=model, defaults={"name": model, "modality": modality, "status": "active"}
    )
    made, new = Offering.objects.update_or_create(
        model=kind, endpoint=endpoint,
        defaults={
            "upstream_model": fields.get("upstream_model", model), "enabled": True,
            "capabilities": fields.get("capabilities", []),
        },
    )  # fmt: skip
    if new:
        price(made, fields["amounts"])
    return made  # type: ignore[no-any-return]


def price(offered: Offering, amounts: dict[str, int]) -> Price:
    """A price in force from now."""
    made: Price = Price.objects.create(offering=offered)
    PriceComponent.objects.bulk_create(
        PriceComponent(price=made, unit=unit, amount_nano=amount)
        for unit, amount in amounts.items()
    )
    return made


def withdraw(model: str) -> None:
    """Take a test's own model off the market: other tests count what is on offer."""
    Offering.objects.filter(model__slug=model).update(enabled=False)
    Model.objects.filter(slug=model).update(status="retired")


def endpoint(
    tenant: Organization, url: str = "http://127.0.0.1:9999/hook", **fields: Any
) -> WebhookEndpoint:
    """A webhook of an organization."""
    values = {"secret": "whsec_" + "c2VjcmV0" * 4, **fields}
    return WebhookEndpoint.objects.create(organization=tenant, url=url, **values)  # type: ignore[no-any-return]


def delivery(tenant: Organization, **fields: Any) -> Delivery:
    """A test event on its way to a webhook."""
    event = Event.objects.create(organization=tenant, kind="webhook.test", data={"a": "b"})
    target = fields.pop("endpoint", None) or endpoint(tenant)
    return Delivery.objects.create(organization=tenant, endpoint=target, event=event, **fields)  # type: ignore[no-any-return]


def media_task(tenant: Organization, *, begun: bool = True, **fields: Any) -> MediaTask:
    """A video on its way at a provider, with its money added and held."""
    task = fields.pop("id", None) or uuid7()
    now = datetime.now(UTC)
    credit(tenant, fields.get("hold_nano", 515_000_000))
    row = {
        "id": str(task), "organization_id": tenant.id[4:], "key_id": str(uuid.uuid4()), "key_name": "k",
        "created_at": now.isoformat(), "status": "pending", "shape": "openai", "modality": "video",
        "model_requested": "wan2.7-t2v", "model": "", "provider": "", "region": "", "dialect": "",
        "offering": None, "upstream_id": "", "credential": "", "seconds": 5, "resolution": "720p", "size": "1280x720",
        "price_version": None, "price": {}, "service_fee_bps": 300, "service_fee_source": "plan:1",
        "hold_nano": 515_000_000, "quoted_nano": 0, "total_nano": 0, "attempts": [], "routing": {},
        "session_id": "", "deadline_at": (now + timedelta(hours=1)).isoformat(),
        "next_poll_at": (now + timedelta(minutes=5)).isoformat(), "polls": 0, "finished_at": None,
        "error_code": "", "error_message": "", "media_url": "", **fields,
    }  # fmt: skip
    made = {
        "upstream_id": uuid.uuid4().hex, "credential": "", "model": "wan2.7-t2v", "provider": "alibaba", "region": "sg",
        "dialect": "dashscope", "offering": 1, "price_version": 1,
        "price": {"video_second_720p": 100_000_000}, "quoted_nano": 515_000_000, "attempts": [],
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SELECT granted FROM billing_open_task(%s::json, 7200)", [json.dumps(row)])
        assert cursor.fetchone()[0] > 0, "the balance does not cover it"
        if begun:
            cursor.execute("SELECT billing_begin_task(%s, %s::json)", [task, json.dumps(made)])
    return MediaTask.objects.get(pk=f"task_{task.hex}")  # type: ignore[no-any-return]
