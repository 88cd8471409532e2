"""Messages of visitors: taken in once, confirmed by mail, kept in a queue for operators."""

import secrets

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.signing import BadSignature, TimestampSigner
from django.db import transaction

from accounts.models import Organization
from tokenhub.web.doors import may_knock
from tokenhub.web.models import ContactRequest

# Read aloud on the telephone: no letters or digits that are taken for each other.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
PER_HOUR = 5
HOUR_S = 3_600
# Nobody fills in the form in less, and no page stays open longer; seconds.
AT_LEAST_S, AT_MOST_S = 3, 86_400
_SIGNER = TimestampSigner(salt="contact form")


class TooMany(Exception):
    """More messages than a person writes in an hour."""


def stamp() -> str:
    """A note of when a form was shown, that nobody else can write."""
    return _SIGNER.sign("shown")


def is_of_a_person(stamped: str) -> bool:
    """Whether a form took as long to fill in as people take."""
    try:
        _SIGNER.unsign(stamped, max_age=AT_MOST_S)
    except BadSignature:
        return False
    try:
        _SIGNER.unsign(stamped, max_age=AT_LEAST_S)
    except BadSignature:
        return True
    return False


def submit(
    *,
    topic: str,
    name: str,
    email: str,
    message: str,
    company: str = "",
    organization: Organization | None = None,
    ip_address: str | None,
) -> ContactRequest:
    """Keep a message and confirm it by mail. Raises ``TooMany``: five an hour for an address or a network address."""
    for who in (email.lower(), ip_address or ""):
        if not may_knock("contact", who, most=PER_HOUR, within_s=HOUR_S):
            raise TooMany
    with transaction.atomic():
        made = ContactRequest.objects.create(
            reference="".join(secrets.choice(ALPHABET) for _ in range(8)),
            topic=topic, name=" ".join(name.split()), email=email, company=" ".join(company.split()),
            message=message, organization=organization,
        )  # fmt: skip
        transaction.on_commit(lambda: _confirm(made))
    return made


def _confirm(made: ContactRequest) -> None:
    EmailMessage(
        f"TokenHub: we have your message ({made.reference})",
        f"Thank you for writing to us about {made.get_topic_display()}.\n\n"
        f"Your reference is {made.reference}. A person reads it and answers to this address.\n"
        "You can simply reply to this mail to add something.\n",
        to=[made.email],
        reply_to=[settings.CONTACT_EMAIL],
    ).send()
    EmailMessage(
        f"{made.get_topic_display()}: {made.reference}",
        f"{made.name} <{made.email}> {made.company}\n\n{made.message}\n\n"
        f"{settings.PUBLIC_URL}/admin/web/contactrequest/{made.pk}/change/\n",
        to=[settings.CONTACT_EMAIL],
        reply_to=[made.email],
    ).send()
