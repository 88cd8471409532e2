"""Any sequence of payments, messages, calls, refunds, disputes, plan changes, closings and crashes keeps every promise.

A state machine goes random ways through the product beside a simulated Stripe. What must be true is
checked after each step, against a small account of its own and against ``audit``; at the end of each
way everything that Stripe knows has arrived, once. Longer: ``MONEY_EXAMPLES=300 make test ARGS=…``.
"""

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.audit import SYSTEM
from billing import invoices
from billing.audit import audit
from billing.errors import BillingError
from billing.models import (
    Agreement,
    Dispute,
    Invoice,
    PaymentMethod,
    Refund,
    StripeEvent,
    TopUp,
    Transfer,
)
from billing.payments import automatic, gate, inbox, reconcile, reversals, subscriptions, topups
from billing.plans import put_on_plan, terms_of
from billing.selectors import balance_of
from billing.services import reap_leases
from tests import factories
from tests.billing.test_top_ups import USD, start
from tests.live import Stripe

EXAMPLES = int(os.environ.get("MONEY_EXAMPLES", "12"))
CARDS = [Stripe.CARD, Stripe.CARD, Stripe.DECLINED, Stripe.AUTHENTICATION, Stripe.DISPUTED, Stripe.LATER_DECLINED]  # fmt: skip
NOW = timedelta(0)


class Crash(Exception):
    """The process ends here."""


def crash(*_: Any, **__: Any) -> None:
    raise Crash


class Money(RuleBasedStateMachine):
    """One organization and everything that can happen to its money."""

    stripe: Stripe
    monkeypatch: pytest.MonkeyPatch

    @initialize()
    def begin(self) -> None:
        self.stripe.reset()
        self.undo = transaction.atomic()
        self.undo.__enter__()
        self.began = timezone.now() - timedelta(minutes=1)
        self.tenant = factories.organization(plan="starter")
        self.owner = factories.member(self.tenant)
        self.credited = self.charged = 0
        self.closed_through: datetime | None = None

    def teardown(self) -> None:
        if not hasattr(self, "undo"):
            return
        try:
            self.everything_arrives()
            self.nothing_is_wrong()
        finally:
            connection.set_rollback(True)
            self.undo.__exit__(None, None, None)

    # What customers do

    @rule(
        cents=st.integers(500, 20_000), card=st.sampled_from(CARDS), authenticate=st.sampled_from(["complete", "fail"]),
        save=st.booleans(),
    )  # fmt: skip
    def top_up(self, cents: int, card: str, authenticate: str, save: bool) -> None:
        try:
            made = start(self.tenant, cents * gate.NANO_PER_CENT, save_card=save)
        except BillingError:  # too many were begun and not paid
            return
        self.stripe.pay(made.checkout_url, card, authenticate=authenticate)

    @rule()
    def look_at_the_payment(self) -> None:
        for top_up in TopUp.objects.filter(organization=self.tenant):
            topups.sync(top_up)

    @rule(share=st.integers(1, 100))
    def call(self, share: int) -> None:
        available = balance_of(self.tenant).available_nano
        bps = terms_of(self.tenant).fee_bps
        fee = available * share // 100 * 10_000 // (10_000 + bps) - 1
        if fee > 0:
            before = balance_of(self.tenant).balance_nano
            factories.charge(self.tenant, fee, service_fee_bps=bps)
            self.charged += fee + (fee * bps + 5_000) // 10_000
            assert before - balance_of(self.tenant).balance_nano == fee + (fee * bps + 5_000) // 10_000  # fmt: skip

    @rule()
    def call_that_fails(self) -> None:
        factories.usage(self.tenant, billed=False, status="failed", lines=[], model_fee_nano=0, service_fee_nano=0, total_nano=0)  # fmt: skip

    @rule(share=st.integers(1, 100))
    def gateway_is_killed_with_money_in_hand(self, share: int) -> None:
        want = balance_of(self.tenant).available_nano * share // 100
        if want:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT billing_draw_lease(gen_random_uuid(), %s, 'killed', %s, %s, 30)",
                    [self.tenant.id[4:], want, want],
                )

    @rule()
    def leases_of_the_dead_return(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE billing_lease SET expires_at = now() - interval '1 second'"
                " WHERE organization_id = %s AND closed_at IS NULL",
                [self.tenant.id[4:]],
            )
        reap_leases()
        assert balance_of(self.tenant).on_hold_nano == self.frozen()

    @rule(which=st.integers(0, 20), share=st.integers(1, 130), heard=st.booleans())
    def refund(self, which: int, share: int, heard: bool) -> None:
        found = self.paid_top_ups()
        if not found:
            return
        top_up = found[which % len(found)]
        cents = top_up.amount_nano // gate.NANO_PER_CENT * share // 100
        if not heard:
            self.stripe.control(
                "PUT", "/faults", path="/v1/refunds", status="drop_after", method="POST"
            )
        try:
            reversals.refund(top_up, cents * gate.NANO_PER_CENT, reason="unused", actor=SYSTEM)
        except BillingError:
            assert cents * gate.NANO_PER_CENT > reversals.refundable(top_up).amount_nano or not cents  # fmt: skip
        self.stripe.lift_faults()

    @rule(which=st.integers(0, 20), share=st.integers(1, 100))
    def refund_at_stripe(self, which: int, share: int) -> None:
        found = [top_up for top_up in self.paid_top_ups() if not top_up.disputes.exists()]
        if found:
            payment = gate.payment(str(found[which % len(found)].stripe_payment_intent_id))
            gone = sum(made.amount_nano for made in payment.refunds if made.status != "failed")
            cents = (payment.amount_nano - gone) // gate.NANO_PER_CENT * share // 100
            if cents and not payment.disputes:
                self.stripe.control("POST", "/refunds", payment_intent=payment.stripe_id, amount=cents)  # fmt: skip

    @rule(cap=st.integers(1, 3))
    def set_automatic(self, cap: int) -> None:
        card = PaymentMethod.objects.filter(organization=self.tenant, removed_at=None).first()
        if card is not None:
            automatic.configure(
                self.tenant, enabled=True, threshold_nano=20 * USD, amount_nano=50 * USD,
                monthly_cap_nano=cap * 50 * USD, payment_method=card, actor=SYSTEM,
            )  # fmt: skip

    @rule(heard=st.booleans())
    def automatic_top_up_is_due(self, heard: bool) -> None:
        if not heard:
            self.stripe.control(
                "PUT", "/faults", path="/v1/payment_intents", status="drop_after", method="POST"
            )
        reconcile.run_automatic()
        self.stripe.lift_faults()

    @rule(to=st.sampled_from(["pro by card", "pro", "enterprise", "starter", "end", "keep"]))
    def change_plan(self, to: str) -> None:
        try:
            if to == "pro by card":
                url = subscriptions.start(
                    self.tenant, "pro", user=self.owner,
                    return_url="https://tokenhub.example/", cancel_url="https://tokenhub.example/",
                )  # fmt: skip
                self.stripe.pay(url)
            elif to in ("end", "keep"):
                getattr(subscriptions, to)(self.tenant, actor=SYSTEM)
            else:
                put_on_plan(self.tenant, to, actor=SYSTEM)
        except BillingError:
            return  # refused: another plan is in force, set for later, or follows Stripe

    @rule(bps=st.integers(0, 1_000))
    def agree(self, bps: int) -> None:
        if not Agreement.objects.filter(organization=self.tenant).exists():
            Agreement.objects.create(
                organization=self.tenant, fee_bps=bps, agreed_by="Ada", reference="MSA-1",
                effective_from=timezone.now(),
            )  # fmt: skip

    # What Stripe and the bank do

    @rule(which=st.integers(0, 200), times=st.integers(1, 3))
    def message(self, which: int, times: int) -> None:
        """Any event of the pile, in any order, some of them never."""
        pile = self.stripe.events()
        for _ in range(times if pile else 0):
            inbox.take_in(pile[which % len(pile)])

    @rule()
    def every_message_backwards(self) -> None:
        for event in reversed(self.stripe.events()):
            inbox.take_in(event)

    @rule(which=st.integers(0, 200))
    def message_whose_effect_crashes(self, which: int) -> None:
        pile = self.stripe.events()
        if pile:
            before = balance_of(self.tenant).balance_nano
            with self.monkeypatch.context() as broken:
                broken.setattr("billing.payments.reversals.collect", crash)
                inbox.take_in(pile[which % len(pile)])
            if StripeEvent.objects.get(pk=pile[which % len(pile)]["id"]).status == "failed":
                assert balance_of(self.tenant).balance_nano == before

    @rule(which=st.integers(0, 200))
    def replay(self, which: int) -> None:
        kept = list(StripeEvent.objects.order_by("id"))
        if kept:
            inbox.replay(kept[which % len(kept)])

    @rule(which=st.integers(0, 20), outcome=st.sampled_from(["won", "lost", ""]))
    def dispute(self, which: int, outcome: str) -> None:
        found = [top_up for top_up in self.paid_top_ups() if not top_up.disputes.exists()]
        if found:
            top_up = found[which % len(found)]
            left = (top_up.amount_nano - top_up.refunded_nano) // gate.NANO_PER_CENT
            if not left:
                return
            made = self.stripe.control(
                "POST", "/disputes", payment_intent=top_up.stripe_payment_intent_id, amount=left
            )
            if outcome:
                self.stripe.control("POST", f"/disputes/{made['id']}/close", outcome=outcome)

    @rule(outcome=st.sampled_from(["won", "lost"]))
    def bank_decides(self, outcome: str) -> None:
        for dispute in Dispute.objects.filter(organization=self.tenant, status="open"):
            state = next(
                found
                for found in gate.payment(str(dispute.top_up.stripe_payment_intent_id)).disputes
                if found.stripe_id == dispute.stripe_id
            )
            if state.status == "open":
                self.stripe.control("POST", f"/disputes/{dispute.stripe_id}/close", outcome=outcome)

    @precondition(lambda self: Refund.objects.filter(organization=self.tenant, status="succeeded").exists())  # fmt: skip
    @rule()
    def refund_bounces(self) -> None:
        made = Refund.objects.filter(organization=self.tenant, status="succeeded").first()
        assert made is not None
        if not made.top_up.disputes.exists():
            self.stripe.control("POST", f"/refunds/{made.stripe_id}/fail")

    # What operators and the schedule do

    @rule(cents=st.integers(1, 5_000))
    def operators_credit(self, cents: int) -> None:
        factories.credit(self.tenant, cents * gate.NANO_PER_CENT)
        self.credited += cents * gate.NANO_PER_CENT

    @rule()
    def chase(self) -> None:
        reconcile.chase(older_than=NOW)

    @rule()
    def compare(self) -> None:
        reconcile.reconcile(self.began)

    @rule(months=st.integers(1, 4))
    def months_are_closed(self, months: int) -> None:
        at = datetime.now(UTC).replace(day=1) + timedelta(days=31 * months)
        is_new = self.closed_through is None or at > self.closed_through
        invoices.close_due(at)
        invoices.close_due(at)
        if is_new:
            self.closed_through = at
            assert self.invoiced() == self.charged

    @rule()
    def closing_is_interrupted(self) -> None:
        before = self.invoiced()
        at = datetime.now(UTC).replace(day=1) + timedelta(days=31 * 5)
        with self.monkeypatch.context() as broken:
            broken.setattr("billing.invoices.close.InvoiceLine.objects.bulk_create", crash)
            try:
                with transaction.atomic():
                    invoices.close_due(at)
            except Crash:
                assert self.invoiced() == before

    @precondition(lambda self: self.invoiced() > 10_000_000)
    @rule(nano=st.integers(1, 10_000_000))
    def correct_an_invoice(self, nano: int) -> None:
        found = Invoice.objects.filter(organization=self.tenant, kind="invoice").first()
        assert found is not None
        try:
            invoices.issue_credit_note(found, nano, reason="a wrong price", actor=SYSTEM)
        except BillingError:
            return
        self.charged -= nano

    # What must be true after each of it

    @invariant()
    def nothing_is_wrong(self) -> None:
        if not hasattr(self, "tenant"):
            return
        assert audit(self.tenant) == []
        balance = balance_of(self.tenant)
        assert balance.balance_nano >= 0
        moved = self.transfers()
        assert (
            balance.balance_nano
            == moved["top_up"] + self.credited - self.charged - self.gone_back()
        )
        assert self.invoiced() <= self.charged
        numbers = sorted(
            int(number.split("-")[1])
            for number in Invoice.objects.filter(kind="invoice").values_list("number", flat=True)
        )
        assert all(after == before + 1 for before, after in pairwise(numbers))

    def everything_arrives(self) -> None:
        """All that Stripe knows, and no more than it knows."""
        for _ in range(2):
            for event in self.stripe.events():
                inbox.take_in(event)
            reconcile.chase(older_than=NOW)
            reconcile.reconcile(self.began)
        payments = [
            payment
            for payment in gate.payments_since(self.began)
            if payment.status == "succeeded" and payment.top_up
        ]
        assert self.transfers()["top_up"] == sum(payment.amount_nano for payment in payments)
        for payment in payments:
            top_up = TopUp.objects.get(pk=payment.top_up)
            assert top_up.amount_nano == payment.amount_nano
            assert top_up.refunded_nano == sum(
                refund.amount_nano for refund in payment.refunds if refund.status != "failed"
            )
            assert {(d.stripe_id, d.status) for d in payment.disputes} == {
                (d.stripe_id, d.status) for d in top_up.disputes.all()
            }
        self.leases_of_the_dead_return()
        reconcile.chase(older_than=NOW)
        if reversals.owing():
            assert balance_of(self.tenant).balance_nano == 0

    def transfers(self) -> dict[str, int]:
        found = Transfer.objects.filter(organization=self.tenant).order_by()
        sums = dict(found.values_list("kind").annotate(Sum("amount_nano")))
        return {"top_up": sums.get("top_up", 0)}

    def gone_back(self) -> int:
        refunds = Refund.objects.filter(organization=self.tenant).exclude(status="failed")
        disputes = Dispute.objects.filter(organization=self.tenant)
        return sum(
            rows.aggregate(sum=Sum("collected_nano"))["sum"] or 0 for rows in (refunds, disputes)
        )

    def frozen(self) -> int:
        return balance_of(self.tenant).frozen_nano

    def paid_top_ups(self) -> list[TopUp]:
        found = TopUp.objects.filter(
            organization=self.tenant, stripe_payment_intent_id__isnull=False,
            status__in=["succeeded", "refunded"],
        ).select_related("organization")  # fmt: skip
        return list(found.order_by("created_at"))

    def invoiced(self) -> int:
        sums = dict(
            Invoice.objects.filter(organization=self.tenant)
            .order_by()
            .values_list("kind")
            .annotate(Sum("total_nano"))
        )
        return int(sums.get("invoice", 0) - sums.get("credit_note", 0))


@pytest.mark.django_db
def test_any_way_keeps_every_promise(stripe: Stripe, monkeypatch: pytest.MonkeyPatch) -> None:
    Money.stripe, Money.monkeypatch = stripe, monkeypatch

    run_state_machine_as_test(
        Money,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            derandomize="MONEY_EXAMPLES" not in os.environ,
            database=None,
            # Each way takes seconds, for it pays over HTTP.
            suppress_health_check=list(HealthCheck),
        ),
    )
