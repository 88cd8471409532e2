"""What PostgreSQL itself keeps of people and organizations."""

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.audit import SYSTEM, record
from accounts.models import AuditEvent, Membership, Organization, User
from tests import factories
from tests.conftest import database_url


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditevent SET action = 'nothing'",
        "DELETE FROM accounts_auditevent",
        "TRUNCATE accounts_auditevent",
    ],
)
def test_the_audit_trail_cannot_be_changed(statement: str) -> None:
    tenant = factories.organization()
    event = record(tenant, SYSTEM, "test.happened", "x")

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditEvent.objects.get(pk=event.pk).action == "test.happened"


def test_gateways_hear_of_a_suspended_organization_and_of_nothing_else(committed: None) -> None:
    tenant = factories.organization()
    with psycopg.connect(database_url(), autocommit=True) as listener:
        listener.execute("LISTEN tokenhub_changes")

        Organization.objects.filter(pk=tenant.pk).update(name="Renamed")
        Organization.objects.filter(pk=tenant.pk).update(status="suspended")

        heard = [notice.payload for notice in listener.notifies(timeout=5, stop_after=1)]
    assert [payload.replace("-", "") for payload in heard] == [
        f"organization:{tenant.id.removeprefix('org_')}"
    ]


@pytest.mark.django_db
def test_addresses_differ_by_more_than_case() -> None:
    factories.user("someone@example.com")

    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email="SomeOne@example.com")


@pytest.mark.django_db
def test_a_person_is_a_member_once_with_a_known_role() -> None:
    tenant = factories.organization()
    person = factories.member(tenant)

    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(organization=tenant, user=person, role="viewer")
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.filter(user=person).update(role="king")
    with pytest.raises(IntegrityError), transaction.atomic():
        Organization.objects.filter(pk=tenant.pk).update(status="odd")
