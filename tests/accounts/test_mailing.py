"""Mail that jobs send: one that fails is tried again and holds up nobody, whatever is wrong with the mail server."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from structlog.testing import capture_logs

from accounts.mailing import MAX_ATTEMPTS, MAX_FAILED
from accounts.models import Organization
from accounts.webhooks import delivery
from accounts.webhooks.models import Endpoint
from billing.alerts import send_mails, tell
from billing.models import Alert
from routing.credentials import fingerprint, mail_alarms
from routing.models import CredentialAlarm
from routing.models import Endpoint as ProviderEndpoint
from routing.seed.load import load_demo_catalogue
from tests import factories
from tests.mail_server import MoodyBackend
from tokenhub.web.models import AnnouncementMail
from tokenhub.web.notifications import mail_announcements

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def server(settings: Any) -> Iterator[type[MoodyBackend]]:
    """The mail server, with nothing to mail yet."""
    settings.EMAIL_BACKEND = "tests.mail_server.MoodyBackend"
    Alert.objects.filter(mailed_at=None).update(mailed_at=timezone.now())
    AnnouncementMail.objects.filter(mailed_at=None).update(mailed_at=timezone.now())
    MoodyBackend.refuses, MoodyBackend.is_away, MoodyBackend.asked = set(), False, 0
    yield MoodyBackend
    MoodyBackend.refuses, MoodyBackend.is_away = set(), False


def alerted(tenant: Organization) -> Alert:
    tell(tenant, Alert.Kind.DISPUTE, threshold=0, window="w", message="disputed")
    return Alert.objects.get(organization=tenant)


def pass_the_wait(rows: Any) -> None:
    rows.update(mail_after=timezone.now())


def mailed() -> list[str]:
    return sorted(address for message in mail.outbox for address in message.to)


def test_a_refused_recipient_does_not_hold_up_another_tenants_mail(
    server: type[MoodyBackend],
) -> None:
    bad, good = factories.organization(), factories.organization()
    refused, person = factories.member(bad), factories.member(good)
    server.refuses = {refused.email}
    alert, _ = alerted(bad), alerted(good)

    sent = [send_mails() for _ in range(3)]

    assert (sent, mailed()) == ([1, 0, 0], [person.email])
    alert.refresh_from_db()
    assert (alert.mailed_at, alert.mail_attempts) == (None, 1)
    assert alert.mail_after > timezone.now()


def test_what_was_refused_is_tried_again_later_and_goes_out_once(
    server: type[MoodyBackend],
) -> None:
    tenant = factories.organization()
    person = factories.member(tenant)
    alert = alerted(tenant)
    server.refuses = {person.email}
    send_mails()
    server.refuses = set()

    send_mails()
    assert mailed() == []
    pass_the_wait(Alert.objects.filter(pk=alert.pk))
    for _ in range(2):
        send_mails()

    assert mailed() == [person.email]


def test_what_is_refused_for_days_is_given_up_and_said_so(server: type[MoodyBackend]) -> None:
    tenant = factories.organization()
    server.refuses = {factories.member(tenant).email}
    alert = alerted(tenant)

    waits = []
    with capture_logs() as said:
        for _ in range(MAX_ATTEMPTS + 3):
            pass_the_wait(Alert.objects.filter(pk=alert.pk))
            send_mails()
            alert.refresh_from_db()
            waits.append(alert.mail_after - timezone.now())

    assert server.asked == MAX_ATTEMPTS
    assert timedelta(days=2) < sum(waits, timedelta()) < timedelta(days=4)
    errors = [(each["event"], each["id"]) for each in said if each["log_level"] == "error"]
    assert errors == [("mail_given_up", alert.pk)]
    assert not any("@" in str(each) for each in said)


def test_while_the_server_is_away_a_run_ends_soon_and_nothing_is_lost(
    server: type[MoodyBackend],
) -> None:
    people = []
    for _ in range(MAX_FAILED + 2):
        tenant = factories.organization()
        people.append(factories.member(tenant).email)
        alerted(tenant)
    server.is_away = True

    assert send_mails() == 0
    assert server.asked == MAX_FAILED
    server.is_away = False
    pass_the_wait(Alert.objects.filter(mailed_at=None))

    assert send_mails() == len(people)
    assert mailed() == sorted(people)


def test_an_incident_is_mailed_to_everybody_when_the_server_is_back(
    server: type[MoodyBackend],
) -> None:
    tenant = factories.organization()
    people = sorted(factories.member(tenant).email for _ in range(4))
    factories.announcement(severity="incident")
    server.is_away = True
    for _ in range(2):
        assert mail_announcements() == 0
    server.is_away = False

    pass_the_wait(AnnouncementMail.objects.filter(mailed_at=None))
    mail_announcements()
    mail_announcements()

    assert [address for address in mailed() if address in people] == people


def test_an_incident_that_the_version_before_mailed_is_not_mailed_again() -> None:
    person = factories.member(factories.organization())
    incident = factories.announcement(severity="incident")
    with connection.cursor() as cursor:  # as that version writes it while a new one is rolled out
        cursor.execute(
            "INSERT INTO web_announcementmail (announcement_id, user_id) VALUES (%s, %s)",
            [incident.pk, person.pk],
        )

    mail_announcements()

    assert person.email not in mailed()


def test_an_incident_reaches_the_others_where_one_address_is_refused(
    server: type[MoodyBackend],
) -> None:
    tenant = factories.organization()
    first, *others = (factories.member(tenant).email for _ in range(3))
    server.refuses = {first}
    factories.announcement(severity="incident")

    mail_announcements()

    assert set(others) <= set(mailed())
    assert first not in mailed()


def test_whom_an_incident_concerns_is_asked_at_once_for_all_organizations() -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            mail_announcements()
        return len(asked)

    factories.organization(plan="pro")
    factories.announcement(severity="incident", plans=["pro"])
    mail_announcements()
    before = queries()
    for _ in range(10):
        factories.organization(plan="pro")

    assert queries() == before < 10


def test_a_refused_notice_of_a_webhook_does_not_hold_up_the_next(
    server: type[MoodyBackend],
) -> None:
    bad, good = factories.organization(), factories.organization()
    refused, person = factories.member(bad), factories.member(good)
    server.refuses = {refused.email}
    for tenant in (bad, good):
        factories.endpoint(tenant, "https://example.com/", enabled=False, notice_due=True)

    assert [delivery.send_notices() for _ in range(2)] == [1, 0]
    assert mailed() == [person.email]
    server.refuses = set()
    pass_the_wait(Endpoint.objects.filter(organization=bad))
    assert delivery.send_notices() == 1


def test_operators_hear_of_every_alarm_when_the_server_is_back(server: type[MoodyBackend]) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    CredentialAlarm.objects.all().delete()
    for endpoint in ProviderEndpoint.objects.all()[:2]:
        CredentialAlarm.objects.create(
            endpoint=endpoint, fingerprint=fingerprint(endpoint.credential), status=401
        )
    server.is_away = True

    assert (mail_alarms(), server.asked) == (0, 2)
    server.is_away = False

    assert [mail_alarms(), mail_alarms()] == [2, 0]
