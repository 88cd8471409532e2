"""The rooms about money: what they say, what they link to, and what they refuse."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.audit import SYSTEM
from billing.models import (
    Agreement,
    Alert,
    AutomaticTopUp,
    Budget,
    Dispute,
    TopUp,
    Transfer,
)
from billing.payments import automatic, reversals
from billing.plans import put_on_plan
from billing.selectors import balance_of
from keys.budgets import Budget as KeyBudget
from tests import factories
from tests.live import Stripe
from tests.web.pages import HOSTILE, safe

pytestmark = pytest.mark.django_db
USD = 1_000_000_000


def go(name: str, tenant: Any, *arguments: object) -> str:
    return reverse(name, args=[tenant.slug, *arguments])


def test_a_top_up_leads_to_the_payment_page_and_the_policy_lets_it(
    client: Client, inside: Any, stripe: Stripe
) -> None:
    page = client.get(go("top_up", inside))
    answer = client.post(go("top_up", inside), {"amount": "25.50"})

    top_up = TopUp.objects.get(organization=inside)
    assert (answer.status_code, answer["location"]) == (302, top_up.checkout_url)
    assert top_up.amount_nano == 25_500_000_000
    assert "form-action 'self' http" in page["content-security-policy"]


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("", "required"), ("4.99", "between 5 and 10,000 USD"), ("10000.01", "between 5 and 10,000 USD"),
        ("5.001", "2 decimal"), ("NaN", "Enter a number"), ("1e400", "Ensure that"), ("-5", "greater than"),
        ("1" * 400, "Ensure that"),
    ],
)  # fmt: skip
def test_an_amount_that_cannot_be_is_said_at_the_field(
    client: Client, inside: Any, stripe: Stripe, amount: str, said: str
) -> None:
    page = client.post(go("top_up", inside), {"amount": amount})

    assert page.status_code == 422
    assert said in page.content.decode()
    assert not TopUp.objects.filter(organization=inside).exists()
    safe(page)


def test_the_preview_says_what_the_money_buys(client: Client, inside: Any) -> None:
    fragment = client.get(go("top_up_preview", inside), {"amount": "103"}).content.decode()

    assert "$103.00" in fragment
    assert "$100.00" in fragment  # of model fees, at 3 %
    assert "<html" not in fragment


def test_every_entry_of_the_ledger_links_to_its_cause(
    client: Client, inside: Any, stripe: Stripe
) -> None:
    request_id = factories.charge(inside)
    top_up = factories.top_up(inside)
    Dispute.objects.create(organization=inside, top_up=top_up, stripe_id="dp_1", amount_nano=USD)
    number = factories.invoice(inside).number

    page = client.get(go("ledger", inside)).content.decode()

    assert go("request_detail", inside, request_id) in page
    assert go("top_up_detail", inside, top_up.id) in page
    assert number in client.get(go("invoices", inside)).content.decode()


def test_the_ledger_is_paged_and_filtered_by_its_kind(client: Client, inside: Any) -> None:
    for _ in range(55):
        factories.charge(inside)

    first = client.get(go("ledger", inside))
    older = client.get(go("ledger", inside), {"before": 7})
    credits_only = client.get(go("ledger", inside), {"kind": "credit"})

    assert len(first.context["entries"]) == 50
    assert [entry.transfer.sequence for entry in older.context["entries"]] == [6, 5, 4, 3, 2, 1]
    assert [entry.transfer.kind for entry in credits_only.context["entries"]] == ["credit"]


@pytest.mark.parametrize("query", [{"before": "x"}, {"before": "9" * 30}, {"kind": "'; --"}])
def test_a_query_that_makes_no_sense_is_ignored(
    client: Client, inside: Any, query: dict[str, str]
) -> None:
    assert client.get(go("ledger", inside), query).status_code == 200


def test_a_request_says_where_its_fee_comes_from(client: Client, inside: Any) -> None:
    agreement = Agreement.objects.create(
        organization=inside, fee_bps=100, agreed_by="Ada", reference="MSA-7",
        effective_from=timezone.now(),
    )  # fmt: skip
    request_id = factories.charge(
        inside, service_fee_bps=100, service_fee_source=f"agreement:{agreement.pk}"
    )

    page = client.get(go("request_detail", inside, request_id)).content.decode()

    assert "MSA-7" in page
    entry = Transfer.objects.get(organization=inside, reference=request_id)
    assert f"?before={entry.sequence + 1}" in page


def test_a_refund_from_the_page_goes_back_to_the_card(
    client: Client, inside: Any, stripe: Stripe
) -> None:
    top_up = pay(client, inside, stripe)

    answer = client.post(
        go("top_up_refund", inside, top_up.id), {"amount": "20", "reason": "too much"}, follow=True
    )

    assert "Refund:" in answer.content.decode()
    assert TopUp.objects.get(pk=top_up.pk).refunded_nano == 20 * USD


def test_more_than_what_is_left_is_not_refunded(
    client: Client, inside: Any, stripe: Stripe
) -> None:
    top_up = pay(client, inside, stripe)

    answer = client.post(
        go("top_up_refund", inside, top_up.id), {"amount": "50.01", "reason": "all of it"}
    )

    assert answer.status_code == 422
    assert TopUp.objects.get(pk=top_up.pk).refunded_nano == 0
    safe(answer)


def pay(client: Client, tenant: Any, stripe: Stripe) -> TopUp:
    """Fifty dollars by the pages: start, pay, come back."""
    client.post(go("top_up", tenant), {"amount": "50"})
    top_up: TopUp = TopUp.objects.get(organization=tenant)
    assert stripe.pay(top_up.checkout_url) == 303
    page = client.get(go("top_up_detail", tenant, top_up.id))
    assert "was added to the balance" in page.content.decode()
    return top_up


def test_a_card_is_saved_and_removed_by_the_pages(
    client: Client, inside: Any, stripe: Stripe
) -> None:
    checkout = client.post(go("payment_method_add", inside))["location"]
    assert stripe.pay(checkout) == 303
    session = checkout.rstrip("/").rsplit("/", 1)[1]

    page = client.get(go("payment_methods", inside), {"session": session}, follow=True)

    assert "4242" in page.content.decode()
    [card] = page.context["cards"]
    page = client.post(go("payment_method_remove", inside, card.pk), follow=True)
    assert page.context["cards"] == []


def test_anothers_visit_to_stripe_saves_no_card_here(
    client: Client, inside: Any, stripe: Stripe
) -> None:
    other = factories.organization()
    stranger = Client()
    stranger.force_login(factories.member(other))
    checkout = stranger.post(go("payment_method_add", other))["location"]
    assert stripe.pay(checkout) == 303

    client.get(go("payment_methods", inside), {"session": checkout.rstrip("/").rsplit("/", 1)[1]})

    assert client.get(go("payment_methods", inside)).context["cards"] == []


def test_stripe_away_is_said_and_nothing_is_lost(
    client: Client, inside: Any, settings: Any
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    page = client.post(go("top_up", inside), {"amount": "25"})

    assert page.status_code == 422
    assert "Stripe" in page.content.decode()
    assert balance_of(inside).balance_nano == 2_500_000_000


def test_what_a_downgrade_takes_away_is_said_before_it_happens(
    client: Client, stripe: Stripe
) -> None:
    tenant = factories.organization(plan="starter")
    client.force_login(factories.member(tenant))
    checkout = client.post(go("plan_change", tenant, "pro"))["location"]
    assert stripe.pay(checkout) == 303
    session = checkout.rstrip("/").rsplit("/", 1)[1]
    page = client.get(go("plan", tenant), {"session": session}, follow=True)
    assert "You are on Pro" in page.content.decode()

    page = client.get(go("plan_change", tenant, "starter"))

    text = page.content.decode()
    assert "600" in text
    assert "6,000" in text
    safe(page)
    page = client.post(go("plan_change", tenant, "starter"), follow=True)
    assert "Pro ends on" in page.content.decode()
    page = client.post(go("plan_keep", tenant), follow=True)
    assert "The plan goes on" in page.content.decode()


def test_what_follows_a_plan_by_card_is_said_and_not_sold_again(
    client: Client, stripe: Stripe
) -> None:
    tenant = factories.organization(plan="starter")
    client.force_login(factories.member(tenant))
    checkout = client.post(go("plan_change", tenant, "pro"))["location"]
    later = timezone.now() + timedelta(days=10)
    put_on_plan(tenant, "enterprise", actor=SYSTEM, starts_at=later)

    assert stripe.pay(checkout) == 303
    session = checkout.rstrip("/").rsplit("/", 1)[1]
    page = client.get(go("plan", tenant), {"session": session}, follow=True)

    text = page.content.decode()
    safe(page)
    assert "on its way back to your card" in text
    assert "Enterprise begins on" in text
    assert "Change to Pro" not in text


def test_a_budget_is_kept_and_an_alert_is_read_once(client: Client, inside: Any) -> None:
    client.post(go("budgets", inside), {"low_balance": "10", "monthly": "200"})
    alert = factories.alert(inside)
    assert alert.message in client.get(go("billing", inside)).content.decode()

    client.post(go("alert_dismiss", inside, alert.pk))

    budget = Budget.objects.get(organization=inside)
    assert (budget.low_balance_nano, budget.monthly_nano) == (10 * USD, 200 * USD)
    assert Alert.objects.get(pk=alert.pk).dismissed_at is not None


def test_a_profile_is_on_the_next_document_and_is_never_markup(client: Client, inside: Any) -> None:
    given = {"legal_name": HOSTILE, "line1": "1 Way", "city": "Berlin", "postal_code": "1", "country": "DE"}  # fmt: skip
    client.post(go("billing_profile", inside), given)

    invoice = factories.invoice(inside)

    assert HOSTILE in str(invoice.profile)
    safe(client.get(go("invoice", inside, invoice.number)))
    assert client.get(go("invoice_pdf", inside, invoice.number)).content.startswith(b"%PDF")


def test_a_contested_payment_says_so(client: Client, inside: Any, stripe: Stripe) -> None:
    top_up = pay(client, inside, stripe)
    Dispute.objects.create(
        organization=inside, top_up=top_up, stripe_id="dp_2", amount_nano=50 * USD
    )

    automatic.configure(
        inside, enabled=True, threshold_nano=USD, amount_nano=10 * USD, monthly_cap_nano=10 * USD,
        payment_method=factories.payment_method(inside), actor=SYSTEM,
    )  # fmt: skip

    page = client.get(go("billing", inside)).content.decode()

    assert "withheld for a dispute" in page
    for name in ("billing", "automatic_top_up"):
        shown = client.get(go(name, inside)).content.decode()
        assert "Until that is settled nothing is charged automatically" in shown
    assert reversals.refundable(TopUp.objects.get(pk=top_up.pk)).amount_nano == 0


def test_an_agreement_that_ends_says_when(client: Client, inside: Any) -> None:
    Agreement.objects.create(
        organization=inside, fee_bps=0, agreed_by="Ada", reference="WAIVER-1",
        effective_from=timezone.now(), effective_until=timezone.now() + timedelta(days=30),
    )  # fmt: skip

    page = client.get(go("plan", inside)).content.decode()

    assert "WAIVER-1" in page
    assert "until" in page


def test_the_budgets_page_shows_what_the_month_and_the_keys_have_used(
    client: Client, inside: Any
) -> None:
    limited = factories.key(inside, name="Limited", budget=KeyBudget(1_000_000_000, "month"))
    factories.key(inside, name="Free")
    factories.usage(inside, key=limited.key, model_fee_nano=250_000_000, total_nano=250_000_084)
    before = client.get(go("budgets", inside)).content.decode()
    client.post(go("budgets", inside), {"low_balance": "10", "monthly": "0.50"})

    page = client.get(go("budgets", inside))

    assert "there is no budget for the month" in before
    assert page.context["percent"] == 50
    assert [line.key.name for line in page.context["lines"]] == ["Limited"]
    assert page.context["lines"][0].percent == 25
    assert "25 %" in page.content.decode()


def test_automatic_top_ups_that_wait_say_until_when_whatever_the_cause(
    client: Client, inside: Any, stripe: Stripe
) -> None:
    automatic.configure(
        inside, enabled=True, threshold_nano=USD, amount_nano=10 * USD, monthly_cap_nano=10 * USD,
        payment_method=factories.payment_method(inside), actor=SYSTEM,
    )  # fmt: skip
    AutomaticTopUp.objects.filter(organization=inside).update(
        problem="", paused_until=timezone.now() + timedelta(hours=1)
    )

    pages = {"billing": "tried again after", "automatic_top_up": "The next try is not before"}
    for name, words in pages.items():
        shown = client.get(go(name, inside)).content.decode()
        assert "The payment service did not answer" in shown
        assert words in shown

    AutomaticTopUp.objects.filter(organization=inside).update(paused_until=timezone.now())

    for name in pages:
        assert "did not answer" not in client.get(go(name, inside)).content.decode()
