"""Money by program: the balance, its movements, payments, documents and the plan."""

from typing import Any

import pytest

from billing.models import TopUp, Transfer
from tests import factories
from tests.api.program import Program, problem
from tests.live import Stripe

pytestmark = pytest.mark.django_db


def test_the_balance_is_exact(program: Program) -> None:
    factories.credit(program.tenant, 42_500_000_001)

    assert program.get("balance/").json() == {
        "currency": "USD", "balance": "42.500000001", "on_hold": "0.00", "available": "42.500000001",
    }  # fmt: skip


def test_transactions_say_what_moved_and_why(program: Program) -> None:
    factories.credit(program.tenant, 10**9)
    request_id = factories.charge(program.tenant, 100_000)

    newest, oldest = program.get("transactions/").json()["data"]

    assert set(newest) == {
        "id", "created_at", "kind", "amount", "balance_after", "reference", "description",
    }  # fmt: skip
    assert (newest["id"], oldest["id"]) == ("txn_2", "txn_1")
    assert (newest["kind"], newest["amount"], newest["balance_after"]) == (
        "usage", "-0.000103", "0.999897",
    )  # fmt: skip
    assert newest["reference"] == request_id
    page = program.get("transactions/?limit=1").json()
    following = program.get(f"transactions/?limit=1&cursor={page['next_cursor']}").json()
    assert [each["id"] for each in page["data"] + following["data"]] == ["txn_2", "txn_1"]
    assert [t["kind"] for t in program.get("transactions/?kind=credit").json()["data"]] == [
        "credit"
    ]


@pytest.mark.parametrize(
    "cursor", ["c2VxdWVuY2U6OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "c2VxdWVuY2U6LTE", "c2VxdWVuY2U6eA"]
)
def test_a_strange_cursor_harms_nothing(program: Program, cursor: str) -> None:
    assert program.get(f"transactions/?cursor={cursor}").status_code in (200, 400)


def test_a_top_up_is_paid_on_a_page_and_credited_once(program: Program, stripe: Stripe) -> None:
    made = program.post("top-ups/", {"amount": "25.00"}, Idempotency_Key="t")
    again = program.post("top-ups/", {"amount": "25.00"}, Idempotency_Key="t")

    assert made.status_code == again.status_code == 201
    assert again.content == made.content
    assert again["idempotent-replayed"] == "true"
    top_up = made.json()
    assert set(top_up) >= {"id", "status", "amount", "fee", "checkout_url"}
    assert (top_up["status"], top_up["amount"], top_up["fee"]) == ("pending", "25.00", "0.00")
    assert TopUp.objects.for_organization(program.tenant).count() == 1
    assert stripe.pay(top_up["checkout_url"]) == 303
    paid = program.get(f"top-ups/{top_up['id']}/").json()
    assert (paid["status"], paid["checkout_url"]) == ("succeeded", None)
    assert program.get(f"top-ups/{top_up['id']}/").json() == paid
    assert program.get("balance/").json()["balance"] == "25.00"
    assert [each["id"] for each in program.get("top-ups/").json()["data"]] == [top_up["id"]]


@pytest.mark.parametrize(
    "amount", ["0", "-5", "4.99", "10000.01", "5.001", "1e2", "NaN", "Infinity", 25, 25.0, None, "", "25.", "9" * 30]
)  # fmt: skip
def test_an_amount_that_is_none_is_refused(program: Program, stripe: Stripe, amount: Any) -> None:
    found = problem(program.post("top-ups/", {"amount": amount}), 400, "validation_failed")

    assert found["errors"][0]["field"] == "amount"
    assert not TopUp.objects.for_organization(program.tenant).exists()


def test_a_payment_service_that_is_away_is_said_so(program: Program) -> None:
    # Nobody listens where the suite's Stripe is, unless a test asks for it.
    answer = program.post("top-ups/", {"amount": "25.00"}, Idempotency_Key="t")

    problem(answer, 503, "payments_away")
    assert "retry-after" in answer


def test_invoices_are_shown_with_their_lines_and_as_pdf(program: Program) -> None:
    document = factories.invoice(program.tenant)

    listed = program.get("invoices/").json()["data"]
    shown = program.get(f"invoices/{document.number}/").json()

    assert listed == [shown]
    assert set(shown) >= {
        "number", "period_start", "period_end", "status", "lines", "model_fees", "service_fees", "total",
        "pdf_url",
    }  # fmt: skip
    assert shown["lines"]
    assert shown["lines"][0]["components"][0]["fee"].count(".") == 1
    path = shown["pdf_url"].partition("/api/v1/")[2]
    pdf = program.get(path, Accept="*/*")
    assert pdf["content-type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-")
    problem(program.get("invoices/INV-999999.pdf"), 404, "not_found")


def test_the_plan_is_shown_with_what_it_comes_to(program: Program) -> None:
    found = program.get("subscription/").json()

    assert (found["plan"], found["source"]) == ("enterprise", "operator")
    assert found["service_fee_bps"] >= 0
    assert found["checkout_url"] is None


def test_a_higher_plan_is_paid_for_on_a_page(stripe: Stripe) -> None:
    program = Program.of(factories.organization(plan="starter"))
    assert program.get("subscription/").json()["source"] == "free"

    asked = program.post("subscription/", {"plan": "pro"}).json()

    assert asked["plan"] == "starter"
    assert asked["checkout_url"].startswith(stripe.url)
    assert stripe.pay(asked["checkout_url"]) == 303


@pytest.mark.parametrize("plan", ["enterprise", "starter", "nothing"])
def test_a_plan_that_cannot_be_chosen_is_a_conflict(stripe: Stripe, plan: str) -> None:
    program = Program.of(factories.organization(plan="starter"))

    problem(program.post("subscription/", {"plan": plan}), 409, "conflict")


def test_a_finance_key_reads_and_pays_and_does_nothing_else(stripe: Stripe) -> None:
    tenant = factories.organization()
    finance = Program.of(tenant, "billing", role="billing")

    for path in ("balance/", "transactions/", "invoices/", "usage/", "requests/", "subscription/"):
        assert finance.get(path).status_code == 200
    assert finance.post("top-ups/", {"amount": "25.00"}).status_code == 201
    problem(finance.post("keys/", {"name": "x"}), 403, "insufficient_scope")
    reader = Program.of(tenant, "read", "write")
    problem(reader.post("top-ups/", {"amount": "25.00"}), 403, "insufficient_scope")
    assert Transfer.objects.for_organization(tenant).count() == 0
