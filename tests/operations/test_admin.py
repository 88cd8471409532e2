"""The first page of the admin says what waits, the search finds customers, and operators need two factors."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse

from accounts.audit import SYSTEM
from accounts.models import User
from billing import adjustments
from billing.models import StripeEvent, StripeInstruction, TopUp
from routing.models import HealthSample, Offering, OfferingHealth, Price, Provider
from tests import factories
from tests.web.pages import HOSTILE, safe
from tokenhub.operations import find
from tokenhub.operations.models import TaskRun
from tokenhub.web.models import ContactRequest

pytestmark = pytest.mark.django_db
USD = 1_000_000_000
LONG_AGO = datetime.now(UTC) - timedelta(days=2)


@pytest.fixture
def operator(client: Client) -> User:
    person = factories.user(is_staff=True, is_superuser=True)
    client.force_login(person)
    return person


def trouble(operator: User) -> None:
    """One of everything that waits for an operator."""
    tenant = factories.organization(HOSTILE)
    TopUp.objects.create(
        organization=tenant, source="checkout", amount_nano=USD, created_at=LONG_AGO
    )
    StripeEvent.objects.create(
        id=f"evt_{factories.marker_address()}",
        type="x",
        status="failed",
        payload={},
        created_at=LONG_AGO,
    )
    StripeInstruction.objects.create(
        organization=tenant,
        kind="end_subscription",
        subject=f"sub_{tenant.id}",
        status="refused",
        reason="x",
    )
    adjustments.ask(
        tenant, 500 * USD, reason="Goodwill after the outage", by=operator,
        actor=SYSTEM,
    )  # fmt: skip
    ContactRequest.objects.create(
        reference=factories.marker_address()[7:19],
        topic="sales",
        name=HOSTILE,
        email="n@example.com",
        message="M",
    )
    factories.delivery(tenant, next_try_at=LONG_AGO)
    factories.delivery(tenant, status="failed", next_try_at=None, finished_at=datetime.now(UTC))
    factories.endpoint(tenant, enabled=False, disabled_reason="It answered 410 Gone.")
    TaskRun.objects.update_or_create(
        task="billing.tasks.reap_leases",
        defaults={"run_id": "x", "outcome": "failed", "started_at": LONG_AGO},
    )


def test_everything_that_waits_is_listed_and_leads_somewhere(
    client: Client, operator: User, catalogue: None
) -> None:
    trouble(operator)
    offering = Offering.objects.filter(enabled=True).first()
    assert offering is not None
    OfferingHealth.objects.update_or_create(offering=offering, defaults={"status": "down"})

    page = client.get("/admin/")

    safe(page)
    waiting = page.context["overview"].waiting
    assert {each.what.split()[0] for each in waiting if each.urgent} == {
        "offerings", "top-ups", "events", "instructions", "webhook", "background",
    }  # fmt: skip
    assert (
        sum(each.what.startswith(("messages", "adjustments", "webhook")) for each in waiting) == 5
    )
    for each in waiting:
        assert client.get(each.url).status_code == 200, each.url


def test_quiet_times_are_said_to_be_quiet(client: Client, operator: User) -> None:
    assert "Nothing needs you" in client.get("/admin/").content.decode()
    # The page of one app is built on this one, and knows nothing of it.
    assert "Nothing needs you" not in client.get("/admin/billing/").content.decode()


def test_providers_are_shown_with_their_calls_of_the_last_hour(
    client: Client, operator: User, catalogue: None
) -> None:
    provider = Provider.objects.get(slug="deepseek")
    offering = Offering.objects.filter(endpoint__provider=provider).first()
    assert offering is not None
    for at, failures in ((datetime.now(UTC), 3), (LONG_AGO, 100)):
        HealthSample.objects.create(
            offering=offering, at=at, source="gateway", successes=9, failures=failures
        )

    found = client.get("/admin/").context["overview"].providers

    (row,) = [each for each in found if each.slug == "deepseek"]
    assert (row.calls, row.failures) == (12, 3)


def test_revenue_is_shown_to_those_who_may_see_money(client: Client, operator: User) -> None:
    tenant = factories.organization(credit_nano=10 * USD)
    before = client.get("/admin/").context["overview"].money
    factories.charge(tenant, 2 * USD)

    today, _, month = client.get("/admin/").context["overview"].money

    assert today.requests == before[0].requests + 1
    assert today.model_fee_nano == before[0].model_fee_nano + 2 * USD
    assert month.service_fee_nano == before[2].service_fee_nano + 60_000_000
    User.objects.filter(pk=operator.pk).update(is_superuser=False)
    page = client.get("/admin/")
    assert page.context["overview"].money == []
    assert "Model fees" not in page.content.decode()


def test_the_first_page_takes_few_queries(
    client: Client, operator: User, django_assert_max_num_queries: Any
) -> None:
    trouble(operator)
    client.get("/admin/")

    with django_assert_max_num_queries(24):
        client.get("/admin/")


# Find a customer


def found_by(query: str) -> list[Any]:
    return [hit.organization for hit in find.organizations(query)]


def test_a_customer_is_found_by_anything_known_of_them() -> None:
    tenant = factories.organization("Zebra Crossing Ltd")
    factories.organization("Somebody else")
    person = factories.member(tenant)
    minted = factories.key(tenant)
    usage = factories.usage(tenant)
    top_up = factories.top_up(tenant)
    invoice = factories.invoice(tenant)

    for query in (
        tenant.id, tenant.slug, "zebra cross", person.email, minted.secret[:8], minted.secret[-4:], minted.secret,
        minted.key.id, usage.id, top_up.id, invoice.number, invoice.number.lower(),
    ):  # fmt: skip
        assert tenant in found_by(query), query
    assert found_by(minted.secret) == [tenant]


@pytest.mark.parametrize(
    "query", ["req_x", "org_", "key_" + "0" * 32, "%", HOSTILE, "\x00x", "x" * 200]
)
def test_what_names_nobody_finds_nobody(client: Client, operator: User, query: str) -> None:
    page = client.post(reverse("admin:find"), {"q": query})

    assert page.status_code == 200
    safe(page)
    assert page.context["hits"] == []


def test_a_pasted_key_is_not_shown_again(client: Client, operator: User) -> None:
    minted = factories.key(factories.organization(HOSTILE))

    page = client.post(reverse("admin:find"), {"q": minted.secret})

    assert len(page.context["hits"]) == 1
    assert minted.secret not in page.content.decode()
    safe(page)


def test_who_may_see_no_customers_finds_none(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))

    assert client.get(reverse("admin:find")).status_code == 403


# Two factors


def test_in_production_an_operator_without_a_second_factor_is_led_to_setting_one_up(
    client: Client, operator: User, settings: Any
) -> None:
    settings.ADMIN_REQUIRES_MFA = True

    for path in ("/admin/", "/admin/accounts/user/", reverse("admin:find")):
        answer = client.get(path, follow=True)
        assert answer.redirect_chain[-1][0] == reverse("mfa_index"), path
    assert client.post(reverse("admin:find"), {"q": "x"}).status_code == 302

    Authenticator.objects.create(user=operator, type="totp", data={"secret": "x"})
    assert client.get("/admin/").status_code == 200


def test_times_say_that_they_are_in_utc(operator: User, client: Client) -> None:
    tenant = factories.organization("Of an instant")
    tenant.created_at = datetime(2026, 3, 4, 15, 6, tzinfo=UTC)
    tenant.save(update_fields=["created_at"])

    shown = client.get("/admin/accounts/organization/").content.decode()

    assert "4 Mar 2026 15:06 UTC" in shown


def test_each_half_of_a_time_has_a_label_of_its_own(operator: User, client: Client) -> None:
    form = client.get("/admin/billing/agreement/add/").content.decode()

    for name in ("effective_from_0", "effective_from_1"):
        assert f'<label for="id_{name}">' in form


def test_a_filter_by_what_is_empty_has_a_word_to_press(operator: User, client: Client) -> None:
    factories.media_task(factories.organization(), begun=False)

    shown = client.get("/admin/billing/mediatask/").content.decode()

    assert '<a href="?error_code=">None</a>' in shown


def test_prices_say_whose_they_are(catalogue: None, operator: User, client: Client) -> None:
    price = Price.objects.latest("id")
    offered, endpoint = price.offering, price.offering.endpoint

    shown = client.get(f"/admin/routing/price/?id={price.pk}").content.decode()

    assert f"{offered.model} at {endpoint.provider}, {endpoint.region_id}" in shown
