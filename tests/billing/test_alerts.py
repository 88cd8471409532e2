"""Alerts: in the console and by mail, once for each threshold and window."""

from typing import Any

import pytest

from accounts.audit import SYSTEM
from accounts.models import Organization
from accounts.roles import Role
from billing import alerts
from billing.models import Alert, AutomaticTopUp, TopUp
from tests import factories
from tests.billing.test_automatic import apart

USD = 1_000_000_000


def said(tenant: Organization, kind: str) -> list[int]:
    return sorted(
        Alert.objects.filter(organization=tenant, kind=kind).values_list("threshold", flat=True)
    )


def budget(tenant: Organization, low_usd: int | None = 5, monthly_usd: int | None = None) -> None:
    alerts.set_budget(
        tenant,
        low_balance_nano=low_usd and low_usd * USD,
        monthly_nano=monthly_usd and monthly_usd * USD,
        actor=SYSTEM,
    )


@pytest.mark.django_db
def test_a_low_balance_is_said_once_for_each_refill() -> None:
    tenant = factories.organization(credit_nano=10 * USD)
    factories.charge(tenant, 6 * USD, service_fee_bps=0)
    for _ in range(3):
        alerts.check()
    assert said(tenant, "low_balance") == [5 * USD]

    factories.credit(tenant, 10 * USD)
    alerts.check()
    assert len(said(tenant, "low_balance")) == 1
    factories.charge(tenant, 12 * USD, service_fee_bps=0)
    alerts.check()

    assert len(said(tenant, "low_balance")) == 2


@pytest.mark.django_db
def test_who_never_had_money_or_wants_no_word_hears_none() -> None:
    empty, quiet = factories.organization(), factories.organization(credit_nano=USD)
    budget(quiet, low_usd=None)

    alerts.check()

    assert said(empty, "low_balance") == said(quiet, "low_balance") == []


@pytest.mark.django_db
def test_a_budget_is_said_at_half_four_fifths_and_whole() -> None:
    tenant = factories.organization(credit_nano=100 * USD)
    budget(tenant, monthly_usd=10)
    heard = []

    for _ in range(5):
        factories.charge(tenant, int(2.5 * USD), service_fee_bps=0)
        for _ in range(2):
            alerts.check()
        heard.append(said(tenant, "budget"))

    assert heard == [[], [50], [50], [50, 80, 100], [50, 80, 100]]


@pytest.mark.django_db
def test_mail_goes_once_to_those_who_manage_money(mailoutbox: list[Any]) -> None:
    tenant = factories.organization("Northwind", credit_nano=USD)
    owner, billing, _ = (
        factories.member(tenant, role) for role in (Role.OWNER, Role.BILLING, Role.DEVELOPER)
    )
    alerts.check()

    for _ in range(3):
        alerts.send_mails()

    (mail,) = [mail for mail in mailoutbox if "Northwind" in mail.subject]
    assert sorted(mail.to) == sorted([owner.email, billing.email])
    assert f"/o/{tenant.slug}/billing/" in mail.body


def open_kinds(tenant: Organization) -> list[str]:
    alerts.check()
    return sorted(alert.kind for alert in alerts.open_alerts(tenant))


@pytest.mark.django_db
def test_a_low_balance_is_shown_until_money_comes_in_or_nobody_wants_to_hear_of_it() -> None:
    tenant = factories.organization(credit_nano=10 * USD)
    factories.charge(tenant, 6 * USD, service_fee_bps=0)
    assert open_kinds(tenant) == ["low_balance"]

    factories.credit(tenant, USD // 2)  # not enough: said anew, and once
    assert open_kinds(tenant) == ["low_balance"]
    factories.credit(tenant, USD)
    assert open_kinds(tenant) == []
    factories.charge(tenant, USD, service_fee_bps=0)
    assert open_kinds(tenant) == ["low_balance"]
    budget(tenant, low_usd=None)
    assert open_kinds(tenant) == []


@pytest.mark.django_db
def test_a_budget_is_shown_until_it_is_another_or_another_months() -> None:
    tenant = factories.organization(credit_nano=100 * USD)
    budget(tenant, monthly_usd=10)
    factories.charge(tenant, 6 * USD, service_fee_bps=0)
    assert open_kinds(tenant) == ["budget"]
    Alert.objects.filter(organization=tenant).update(window="2020-01:10000000000")
    assert open_kinds(tenant) == ["budget"]  # this month's
    assert Alert.objects.filter(organization=tenant, dismissed_at=None).count() == 1

    budget(tenant, monthly_usd=50)

    assert open_kinds(tenant) == []


def automatic(tenant: Organization, **fields: Any) -> AutomaticTopUp:
    values = {
        "enabled": True,
        "threshold_nano": USD,
        "amount_nano": 10 * USD,
        "monthly_cap_nano": 20 * USD,
    }
    made: AutomaticTopUp
    made, _ = AutomaticTopUp.objects.update_or_create(
        organization=tenant, defaults={**values, **fields}
    )
    return made


@pytest.mark.django_db
def test_a_failed_automatic_top_up_is_shown_until_one_succeeds_or_its_setting_is_changed() -> None:
    for mend in (
        factories.top_up,
        lambda tenant: automatic(tenant, problem=""),
        lambda tenant: automatic(tenant, enabled=False, problem="declined"),
    ):
        tenant = factories.organization(credit_nano=100 * USD)
        setting = automatic(tenant, problem="declined")
        for _ in range(3):
            failed = TopUp.objects.create(
                organization=tenant, source="automatic", amount_nano=USD, status="failed"
            )
            alerts.automatic_top_up_failed(failed, "The card was declined.")
        assert open_kinds(tenant) == ["automatic_top_up"]
        # Money alone came in: whether the card works is not known by that.
        factories.credit(tenant, USD)
        assert open_kinds(tenant) == ["automatic_top_up"]

        AutomaticTopUp.objects.filter(pk=setting.pk).update(problem="")
        assert open_kinds(tenant) == ["automatic_top_up"]  # as after no answer: nothing has changed
        mend(tenant)

        assert open_kinds(tenant) == []


@pytest.mark.django_db
def test_a_limit_that_stopped_automatic_top_ups_is_not_shown_in_the_next_month() -> None:
    tenant = factories.organization(credit_nano=100 * USD)
    automatic(tenant, problem="cap_reached")
    alerts.automatic_top_up_capped(tenant, 20 * USD, 20 * USD)
    assert open_kinds(tenant) == ["automatic_top_up"]

    Alert.objects.filter(organization=tenant).update(window="cap:2020-01")

    assert open_kinds(tenant) == []


@pytest.mark.django_db
def test_a_plan_that_was_not_paid_is_shown_until_it_is() -> None:
    tenant = factories.organization()
    alerts.plan_payment_failed(tenant, "in_1")
    assert open_kinds(tenant) == ["plan_payment"]

    alerts.plan_paid(tenant)

    assert open_kinds(tenant) == []


def test_many_at_once_say_it_once(committed: None) -> None:
    tenant = factories.organization(credit_nano=USD)

    apart(lambda _: alerts.check(), range(10))

    assert said(tenant, "low_balance") == [5 * USD]
