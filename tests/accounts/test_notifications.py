"""What people choose to hear of, and that it is heeded wherever something is said."""

import pytest
from django.core import mail
from django.db import IntegrityError, transaction

from accounts.models import NotificationChoice
from accounts.notifications import Category, Channels, addresses, choices_of, choose
from accounts.roles import Permission
from billing.alerts import recipients, send_mails, tell
from billing.models import Alert
from tests import factories

pytestmark = pytest.mark.django_db


def test_everything_is_told_until_somebody_chooses_but_news_only_in_the_console() -> None:
    wanted = choices_of(factories.user())

    assert set(wanted) == set(Category.values)
    assert all(channels.in_app for channels in wanted.values())
    assert [category for category, channels in wanted.items() if not channels.email] == ["news"]


def test_mail_about_security_and_invoices_cannot_be_turned_off() -> None:
    person = factories.user()

    choose(person, {category: Channels(in_app=False, email=False) for category in Category.values})

    mailed = {category for category, channels in choices_of(person).items() if channels.email}
    assert mailed == {"security", "invoices"}
    with pytest.raises(IntegrityError), transaction.atomic():
        NotificationChoice.objects.filter(user=person, category="invoices").update(email=False)


def test_a_choice_that_is_the_default_again_leaves_no_row() -> None:
    person = factories.user()
    choose(person, {"balance": Channels(in_app=True, email=False)})
    choose(person, {"balance": Channels(in_app=True, email=True)})

    assert not NotificationChoice.objects.filter(user=person).exists()


def test_only_who_may_and_wants_to_is_mailed() -> None:
    tenant = factories.organization()
    owner, quiet, viewer = (factories.member(tenant, role) for role in ("owner", "billing", "viewer"))  # fmt: skip
    choose(quiet, {"balance": Channels(in_app=True, email=False)})

    assert addresses(tenant, Category.BALANCE, Permission.MANAGE_BILLING) == [owner.email]
    everyone = addresses(tenant, Category.INVOICES, Permission.MANAGE_BILLING)
    assert everyone == sorted([owner.email, quiet.email])
    assert viewer.email not in everyone
    assert recipients(tenant) == [owner.email]


def test_alerts_are_mailed_as_people_chose() -> None:
    tenant = factories.organization()
    person = factories.member(tenant)
    choose(person, {"balance": Channels(in_app=True, email=False)})
    tell(tenant, Alert.Kind.LOW_BALANCE, threshold=1, window="a", message="low")
    tell(tenant, Alert.Kind.DISPUTE, threshold=1, window="b", message="disputed")

    send_mails()

    told = [message.body for message in mail.outbox if person.email in message.to]
    assert len(told) == 1
    assert told[0].startswith("disputed")


def test_an_invoice_is_mailed_to_who_manages_money() -> None:
    tenant = factories.organization()
    person = factories.member(tenant, "billing")
    number = factories.invoice(tenant).number

    send_mails()

    bodies = [str(m.body) for m in mail.outbox if person.email in m.to]
    assert any(number in body for body in bodies)
