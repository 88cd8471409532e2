"""Plans and agreements in a live gateway: from their instant on, without a restart, and on record."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.models import Organization
from billing.models import Agreement, AutomaticTopUp, PaymentMethod, TopUp, Usage
from billing.payments import automatic, inbox
from billing.plans import put_on_plan, terms_of
from billing.selectors import balance_of
from billing.tasks import run_automatic_top_ups
from tests import factories
from tests.billing.test_automatic import apart
from tests.billing.test_top_ups import USD, start
from tests.live import Gateway, Stripe, marker
from tests.processes import eventually


def agree(tenant: Organization, starts: datetime | None = None, **terms: Any) -> Agreement:
    made: Agreement = Agreement.objects.create(
        organization=tenant, agreed_by="Ada", reference="MSA-1",
        effective_from=starts or timezone.now(), **terms,
    )  # fmt: skip
    return made


def bps_of_next_call(gateway: Gateway, tenant: Organization, secret: str) -> int:
    """The service fee's rate of a call made now."""
    answer = gateway.chat(secret)
    assert answer.status_code == 200, answer.text
    return Usage.objects.get(organization=tenant, id=answer.headers["x-request-id"]).service_fee_bps


def test_a_waiver_applies_to_the_next_calls_and_says_so(gateway: Gateway) -> None:
    tenant = factories.organization(plan="pro", credit_nano=USD)
    secret = factories.key(tenant).secret
    assert bps_of_next_call(gateway, tenant, secret) == 300

    agreement = agree(tenant, fee_bps=0)

    eventually(lambda: bps_of_next_call(gateway, tenant, secret) == 0, within_s=1)
    first, *_, last = Usage.objects.filter(organization=tenant).order_by("id")
    assert first.service_fee_source == f"plan:{terms_of(tenant).version.pk}"
    assert last.service_fee_source == f"agreement:{agreement.pk}"
    assert (last.service_fee_nano, last.total_nano) == (0, last.model_fee_nano)


def test_a_rate_agreed_for_a_later_instant_applies_from_it_and_ends_at_its_end(
    gateway: Gateway,
) -> None:
    tenant = factories.organization(plan="pro", credit_nano=USD)
    secret = factories.key(tenant).secret
    starts = timezone.now() + timedelta(seconds=2)
    ends = starts + timedelta(seconds=2)
    agree(tenant, starts, effective_until=ends, fee_bps=100)

    while timezone.now() < ends + timedelta(seconds=1):
        bps_of_next_call(gateway, tenant, secret)

    # A second on either side is the time that a change may take.
    slack = timedelta(seconds=1)
    calls = list(Usage.objects.filter(organization=tenant))
    before = {use.service_fee_bps for use in calls if use.created_at < starts}
    within = {use.service_fee_bps for use in calls if starts + slack <= use.created_at < ends}
    after = {use.service_fee_bps for use in calls if use.created_at >= ends + slack}
    assert (before, within, after or {300}) == ({300}, {100}, {300})


def test_another_plan_has_its_limit_within_a_second(gateway: Gateway) -> None:
    tenant = factories.organization(plan="starter", credit_nano=USD)
    secret = factories.key(tenant).secret
    assert gateway.chat(secret).headers["x-ratelimit-limit-requests"] == "600"

    put_on_plan(tenant, "pro", actor=SYSTEM)

    eventually(
        lambda: gateway.chat(secret).headers["x-ratelimit-limit-requests"] == "6000", within_s=1
    )


def test_an_agreed_rate_of_requests_is_kept(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=USD)
    secret = factories.key(tenant).secret
    agree(tenant, rpm=3)

    answers = [gateway.chat(secret) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_no_more_calls_are_under_way_than_agreed(gateway: Gateway) -> None:
    tenant = factories.organization(credit_nano=USD)
    secret = factories.key(tenant).secret
    agree(tenant, concurrency=2)
    name = marker()
    gateway.providers.fault("*", "slow", contains=name, delay_ms=400)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: gateway.chat(secret, text=f"[[id={name}]] Hi"), range(6)))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200, 200, 429, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(refused.headers["retry-after"]) >= 1
    assert gateway.chat(secret).status_code == 200


def test_twenty_calls_that_trip_the_threshold_are_one_automatic_top_up(
    gateway: Gateway, stripe: Stripe
) -> None:
    tenant = factories.organization()
    secret = factories.key(tenant).secret
    stripe.pay(start(tenant, 5 * USD, save_card=True).checkout_url)
    for event in stripe.events():
        inbox.take_in(event)
    automatic.configure(
        tenant, enabled=True, threshold_nano=5 * USD, amount_nano=50 * USD,
        monthly_cap_nano=500 * USD, actor=SYSTEM,
        payment_method=PaymentMethod.objects.get(organization=tenant),
    )  # fmt: skip
    run_automatic_top_ups()
    assert not TopUp.objects.filter(organization=tenant, source="automatic").exists()

    def call_and_look(_: int) -> int:
        status = gateway.chat(secret).status_code
        run_automatic_top_ups()  # as the beat does, from many workers at once
        return status

    assert set(apart(call_and_look, range(20))) == {200}

    assert TopUp.objects.filter(organization=tenant, source="automatic").count() == 1
    spent = sum(Usage.objects.filter(organization=tenant).values_list("total_nano", flat=True))
    assert balance_of(tenant).balance_nano == 55 * USD - spent
    AutomaticTopUp.objects.filter(organization=tenant).update(enabled=False)
