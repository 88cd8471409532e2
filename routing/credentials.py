"""The platform's credentials at providers: in which order they are used, and the alarm when one is refused.

A credential is named by its fingerprint, never by itself; one that is replaced is another one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.mailing import is_sent
from routing.models import CredentialAlarm, Endpoint


@dataclass(frozen=True, slots=True)
class Secret:
    """One credential as it is sent. ``alarmed``: it is on record as refused."""

    fingerprint: str
    value: str = field(repr=False)
    alarmed: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider refused a credential with a status; ``None``: it works again."""

    endpoint: int
    fingerprint: str
    status: int | None


def fingerprint(value: str) -> str:
    """What a credential is called in records and logs."""
    return salted_hmac("routing.credentials", value, algorithm="sha256").hexdigest()[:12]


def secrets_of(endpoint: Endpoint) -> tuple[Secret, ...]:
    """An endpoint's credentials in the order of their use; one that is empty where it needs none.

    Reads ``spare_credentials`` and ``alarms``: prefetch them for many endpoints.
    """
    alarmed = {alarm.fingerprint for alarm in endpoint.alarms.all() if alarm.cleared_at is None}
    spare = [row.secret for row in endpoint.spare_credentials.all() if row.enabled]
    values = [value for value in (endpoint.credential, *spare) if value] or [""]
    return tuple(
        Secret(name, value, name in alarmed)
        for name, value in ((fingerprint(value), value) for value in dict.fromkeys(values))
    )


def secret_of(secrets: tuple[Secret, ...], name: str) -> str:
    """The credential of this fingerprint; where it was replaced, the first of those that are left."""
    return next((one.value for one in secrets if one.fingerprint == name), secrets[0].value)


@transaction.atomic
def record(refusals: Iterable[Refusal]) -> None:
    """Open an alarm for what was refused, close it for what works again. Safe to repeat."""
    now = timezone.now()
    known = set(Endpoint.objects.values_list("pk", flat=True))
    for refusal in refusals:
        if refusal.endpoint not in known:
            continue
        alarms = CredentialAlarm.objects.filter(
            endpoint_id=refusal.endpoint, fingerprint=refusal.fingerprint, cleared_at=None
        )
        if refusal.status is None:
            alarms.update(cleared_at=now)
        elif not alarms.update(last_at=now, status=refusal.status):
            CredentialAlarm.objects.bulk_create(
                [
                    CredentialAlarm(
                        endpoint_id=refusal.endpoint,
                        fingerprint=refusal.fingerprint,
                        status=refusal.status,
                    )
                ],
                ignore_conflicts=True,
            )


def clear_replaced() -> None:
    """Close the alarms of credentials that are no longer any endpoint's."""
    open_alarms = CredentialAlarm.objects.filter(cleared_at=None).select_related("endpoint")
    for alarm in open_alarms:
        if alarm.fingerprint not in {one.fingerprint for one in secrets_of(alarm.endpoint)}:
            CredentialAlarm.objects.filter(pk=alarm.pk).update(cleared_at=timezone.now())


def mail_alarms() -> int:
    """Tell the operators of each open alarm once; the number told."""
    clear_replaced()
    told = 0
    for alarm in CredentialAlarm.objects.filter(cleared_at=None, mailed_at=None).order_by("pk")[
        :20
    ]:
        with transaction.atomic():
            mine = (
                CredentialAlarm.objects.select_for_update(skip_locked=True, of=("self",))
                .select_related("endpoint__provider")
                .filter(pk=alarm.pk, mailed_at=None)
                .first()
            )
            if mine is None:
                continue
            mail = EmailMessage(
                f"{mine.endpoint.provider.name} refuses our credential",
                f"{mine.endpoint} answers {mine.status} to the credential {mine.fingerprint} since"
                f" {mine.first_at:%Y-%m-%d %H:%M} UTC. Requests go on with its other credentials, if it has"
                " any, and with other providers. Replace it in the admin under Endpoints.\n",
                to=[settings.OPERATIONS_EMAIL],
            )
            # One that fails stays open, and is mailed by the next run: there is nobody else to tell.
            if is_sent(mail, of=mine):
                mine.mailed_at = timezone.now()
                mine.save(update_fields=["mailed_at"])
                told += 1
    return told
