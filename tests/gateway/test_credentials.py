"""Several credentials at a provider: rotated where one is refused or limited, remembered, and an alarm raised."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from billing.models import Usage
from routing.credentials import Refusal, fingerprint, mail_alarms, record, secrets_of
from routing.health import targets
from routing.models import CredentialAlarm, Endpoint, Offering, OfferingHealth, SpareCredential
from tests import factories
from tests.live import Gateway, marker
from tests.processes import eventually
from tokenhub.gateway.keyring import REFUSED_REST_S, Credentials
from tokenhub.probes import probe_now

MODEL = "sambanova/llama-3.3-70b"
CREDIT = 1_000_000_000


@pytest.fixture
def endpoint(gateway: Gateway) -> Iterator[Endpoint]:
    """An endpoint whose first credential the provider may come to refuse, with a spare one."""
    found: Endpoint = Endpoint.objects.get(provider__slug="sambanova", dialect="openai")
    found.credential = f"sim-sambanova-{marker()}"
    found.save()
    SpareCredential.objects.create(endpoint=found, secret=f"sim-sambanova-{marker()}", label="B")
    yield found
    SpareCredential.objects.filter(endpoint=found).delete()
    Endpoint.objects.filter(pk=found.pk).update(credential="sim-sambanova")
    CredentialAlarm.objects.filter(endpoint=found).delete()
    OfferingHealth.objects.filter(offering__endpoint=found).update(status="healthy", failures=0, successes=0)  # fmt: skip


def first_of(endpoint: Endpoint) -> str:
    return str(Endpoint.objects.get(pk=endpoint.pk).credential)


def call(gateway: Gateway) -> tuple[int, list[int]]:
    """A call's status, and what the provider answered to each try of it."""
    name = marker()
    secret = factories.key(factories.organization(credit_nano=CREDIT)).secret
    status = gateway.chat(secret, MODEL, f"[[id={name}]]").status_code
    return status, [tried["status"] for tried in gateway.providers.calls(marker=name)]


def refused_on_record() -> list[Any]:
    """Credentials that were passed over in attempts that ended well."""
    recent = Usage.objects.filter(provider="sambanova", status="succeeded").order_by("-created_at")[
        :20
    ]
    attempts = [attempt for usage in recent for attempt in usage.attempts]
    assert not any(first in str(attempts) for first in Endpoint.objects.values_list("credential", flat=True) if first)  # fmt: skip
    return [one for attempt in attempts for one in attempt.get("refused_credentials", [])]


@pytest.mark.parametrize("status", [401, 402, 403, 429])
def test_a_refused_credential_is_left_for_the_next_and_remembered(
    gateway: Gateway, endpoint: Endpoint, status: int
) -> None:
    eventually(lambda: call(gateway) == (200, [200]), within_s=20)
    gateway.providers.fault("sambanova", "http_error", status=status, credential=first_of(endpoint))

    eventually(lambda: call(gateway) == (200, [status, 200]), what="the turn to the spare one")
    # Of an attempt that succeeded the trace says which was refused, by its fingerprint alone.
    one = {"credential": fingerprint(first_of(endpoint)), "status": status}
    eventually(lambda: one in refused_on_record(), what="the trace")

    assert [call(gateway) for _ in range(3)] == [(200, [200])] * 3
    refused = CredentialAlarm.objects.filter(endpoint=endpoint, cleared_at=None)
    if status == 429:
        assert not refused.exists()  # to be limited is no fault of ours
    else:
        mine = refused.filter(fingerprint=fingerprint(first_of(endpoint)))
        eventually(mine.exists, what="the alarm")
        assert mine.get().status == status


def test_where_all_are_refused_it_is_our_fault_and_the_next_provider_answers(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    name = marker()
    secret = factories.key(factories.organization(credit_nano=CREDIT)).secret
    gateway.providers.fault("sambanova", "http_error", status=401, contains=name)

    response = gateway.chat(
        secret, "llama-3.3-70b", f"[[id={name}]]", provider={"order": ["sambanova"]}
    )

    assert response.status_code == 200
    assert response.headers["x-tokenhub-provider"] != "sambanova"


def test_operators_are_told_once_and_the_alarm_ends_when_it_is_replaced(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    replaced = fingerprint(first_of(endpoint))
    refusal = Refusal(endpoint.pk, replaced, 401)
    record([refusal, refusal])
    mail.outbox.clear()

    mail_alarms()
    mail_alarms()

    # Of this credential: the gateway may still be writing down what was refused before this test.
    (message,) = [told for told in mail.outbox if replaced in str(told.body)]
    assert "SambaNova" in message.subject
    assert first_of(endpoint) not in message.subject + str(message.body)
    assert secrets_of(Endpoint.objects.get(pk=endpoint.pk))[0].alarmed
    Endpoint.objects.filter(pk=endpoint.pk).update(credential="sim-sambanova")
    mail_alarms()
    of_it = CredentialAlarm.objects.filter(endpoint=endpoint, fingerprint=replaced)
    assert [alarm.cleared_at is None for alarm in of_it] == [False]


def test_a_probe_turns_to_the_next_credential_too_and_raises_the_alarm(
    gateway: Gateway, endpoint: Endpoint
) -> None:
    offering = Offering.objects.filter(endpoint=endpoint).first()
    assert offering is not None
    gateway.providers.fault("sambanova", "http_error", status=401, credential=first_of(endpoint))

    seen = probe_now(targets([offering.pk]))[offering.pk]

    assert seen.successes == 1
    alarm = CredentialAlarm.objects.get(fingerprint=fingerprint(first_of(endpoint)))
    gateway.providers.lift_faults()
    probe_now(targets([offering.pk]))
    alarm.refresh_from_db()
    assert alarm.cleared_at is not None


def test_a_rest_ends_and_where_all_rest_the_first_to_be_ready_is_asked() -> None:
    class One:
        def __init__(self, name: str) -> None:
            self.fingerprint, self.value, self.alarmed = name, name, False

    first, second = secrets = (One("a"), One("b"))
    keyring: Any = Credentials()
    assert list(keyring.order(1, secrets, 0.0)) == [first, second]

    keyring.refused(1, first, 401, REFUSED_REST_S, 0.0)
    assert keyring.order(1, secrets, 1.0) == [second]
    assert list(keyring.order(2, secrets, 1.0)) == [first, second]  # elsewhere it may be accepted
    keyring.refused(1, second, 429, 10.0, 1.0)
    assert keyring.order(1, secrets, 2.0) == [second]
    assert keyring.order(1, secrets, REFUSED_REST_S + 1) == [first, second]
    assert keyring.report() == [Refusal(1, "a", 401)]
    keyring.answered(1, first)
    assert keyring.report() == [Refusal(1, "a", None)]


def test_an_operator_writes_credentials_and_reads_none(
    gateway: Gateway, endpoint: Endpoint, client: Client
) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    spare = SpareCredential.objects.get(endpoint=endpoint)
    url = f"/admin/routing/endpoint/{endpoint.pk}/change/"

    page = client.get(url).content.decode()
    answer = client.post(
        url,
        {
            "provider": endpoint.provider_id, "region": endpoint.region_id, "dialect": "openai",
            "base_url": endpoint.base_url, "credential": "",
            "spare_credentials-TOTAL_FORMS": 2, "spare_credentials-INITIAL_FORMS": 1,
            "spare_credentials-0-id": spare.pk, "spare_credentials-0-endpoint": endpoint.pk,
            "spare_credentials-0-position": 1, "spare_credentials-0-secret": "", "spare_credentials-0-enabled": "on",
            "spare_credentials-1-endpoint": endpoint.pk, "spare_credentials-1-position": 2,
            "spare_credentials-1-secret": "sim-sambanova-third", "spare_credentials-1-enabled": "on",
        },
    )  # fmt: skip

    assert answer.status_code == 302, answer.content.decode()[:3000]
    stored = [row.secret for row in SpareCredential.objects.filter(endpoint=endpoint)]
    assert stored == [spare.secret, "sim-sambanova-third"]
    for secret in (first_of(endpoint), *stored):
        assert secret not in page + client.get(url).content.decode()


@pytest.mark.parametrize("page", ["provider", "endpoint", "offering", "offeringhealth"])
def test_an_operator_tests_what_is_selected_at_once(
    gateway: Gateway, endpoint: Endpoint, client: Client, page: str
) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    offering = Offering.objects.filter(endpoint=endpoint).first()
    assert offering is not None
    probe_now(targets([offering.pk]))
    selected = {"provider": endpoint.provider_id, "endpoint": endpoint.pk}.get(page, offering.pk)
    data = {"action": "test_now", "_selected_action": [selected]}
    url = f"/admin/routing/{page}/"

    well = client.post(url, data, follow=True).content.decode()
    gateway.providers.fault("sambanova", "http_error", status=503)
    unwell = client.post(url, data, follow=True).content.decode()

    assert "answered in" in well
    assert "http_503" in unwell
    assert OfferingHealth.objects.get(pk=offering.pk).last_probe_outcome == "http_503"
