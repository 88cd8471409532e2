"""Webhooks by program: the secret once, the deliveries on record, another organization's not found."""

import pytest

from accounts.webhooks.events import emit
from accounts.webhooks.models import Delivery, Endpoint
from tests import factories
from tests.api.program import Program, problem

pytestmark = pytest.mark.django_db

URL = "https://93.184.216.34/hooks"


def test_a_webhook_is_made_changed_rotated_and_deleted(program: Program) -> None:
    made = program.post("webhooks/", {"url": URL, "events": ["balance.low"]}).json()
    path = f"webhooks/{made['id']}/"

    assert made["secret"].startswith("whsec_")
    assert "secret" not in program.get(path).json()
    assert made["secret"] not in program.get("webhooks/").content.decode()
    changed = program.patch(path, {"enabled": False}).json()
    assert (changed["enabled"], changed["url"], changed["events"]) == (False, URL, ["balance.low"])
    rotated = program.post(f"{path}rotate/", Idempotency_Key="r")
    assert rotated.json()["secret"] not in ("", made["secret"])
    again = problem(
        program.post(f"{path}rotate/", Idempotency_Key="r"), 409, "secret_not_replayable"
    )
    assert again["webhook_id"] == made["id"]
    assert program.delete(path).status_code == 204
    problem(program.get(path), 404, "not_found")


def test_deliveries_are_listed_and_sent_again(program: Program) -> None:
    made = program.post("webhooks/", {"url": URL}).json()
    path = f"webhooks/{made['id']}/"
    emit(program.tenant, "balance.low", {"available": "1.00"})
    Delivery.objects.filter(organization=program.tenant).update(status="failed", next_try_at=None)

    assert program.post(f"{path}test/").status_code == 202
    test, told = program.get(f"{path}deliveries/").json()["data"]
    again = program.post(f"{path}deliveries/{told['id']}/redeliver/").json()

    assert (test["kind"], told["kind"], told["status"]) == ("webhook.test", "balance.low", "failed")
    assert (again["id"], again["status"]) == (told["id"], "pending")
    problem(program.post(f"{path}deliveries/dlv_x/redeliver/"), 404, "not_found")
    problem(program.post(f"{path}test/", {"url": "http://x"}), 400, "validation_failed")


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "https://169.254.169.254/x", "https://[fe80::1]/", "ftp://x", "nonsense", ""]
)  # fmt: skip
def test_a_private_address_is_refused(program: Program, url: str) -> None:
    found = problem(program.post("webhooks/", {"url": url}), 400, "validation_failed")

    assert found["errors"][0]["field"] == "url"
    assert not Endpoint.objects.for_organization(program.tenant).exists()


def test_another_organizations_delivery_is_not_found(program: Program) -> None:
    mine = program.post("webhooks/", {"url": URL}).json()["id"]
    other = Program.of(factories.organization())
    theirs = other.post("webhooks/", {"url": URL}).json()["id"]
    delivery = other.post(f"webhooks/{theirs}/test/").json()["id"]

    problem(program.post(f"webhooks/{mine}/deliveries/{delivery}/redeliver/"), 404, "not_found")
    problem(program.post(f"webhooks/{theirs}/deliveries/{delivery}/redeliver/"), 404, "not_found")
