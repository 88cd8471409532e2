"""Organizations: made with their owner, under a name of their own."""

import pytest

from accounts.errors import InvalidName
from accounts.models import AuditEvent, Membership, Organization
from accounts.services import MAX_SLUG, create_organization
from billing.models import Account
from billing.plans import terms_of
from tests import factories

pytestmark = pytest.mark.django_db


def test_an_organization_comes_with_its_owner_its_accounts_and_its_first_event() -> None:
    person = factories.user()

    made = create_organization(
        name="  Northwind   Traders ", owner=person, ip_address="203.0.113.9"
    )

    assert made.name == "Northwind Traders"
    assert Membership.objects.get(organization=made).role == "owner"
    assert Account.objects.filter(organization=made).count() == len(Account.Kind)
    assert terms_of(made).plan.slug == "starter"
    event = AuditEvent.objects.get(organization=made)
    assert (event.action, event.actor, event.ip_address) == (
        "organization.created",
        person.email,
        "203.0.113.9",
    )


def test_two_of_the_same_name_have_different_slugs() -> None:
    first = create_organization(name="Same", owner=factories.user())
    second = create_organization(name="Same", owner=factories.user())

    assert first.slug == "same"
    assert second.slug.startswith("same-")


@pytest.mark.parametrize("name", ["new", "API", "Admin", "日本", "<b>", "x" * 120])
def test_every_name_finds_a_usable_slug(name: str) -> None:
    made = create_organization(name=name, owner=factories.user())

    assert 0 < len(made.slug) <= MAX_SLUG + 7
    assert made.slug not in {"new", "api", "admin"}
    assert made.get_deferred_fields() == set()
    Organization._meta.get_field("slug").run_validators(made.slug)


@pytest.mark.parametrize("name", ["", "   ", "x" * 121])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        create_organization(name=name, owner=factories.user())

    assert not Organization.objects.filter(name=name).exists()
