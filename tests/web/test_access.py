"""Every page below ``/o/`` × every role × a stranger × nobody: allowed, 403, 404 or the sign-in page."""

from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, reverse

from accounts.roles import PERMISSIONS, Permission, Role
from tests import factories
from tests.live import Stripe
from tokenhub.urls import organization as organization_urls

pytestmark = pytest.mark.django_db

# What each page needs. A page that is not here fails the first test.
NEEDS = {
    "billing": Permission.VIEW_BILLING,
    "alert_dismiss": Permission.MANAGE_BILLING,
    "ledger": Permission.VIEW_BILLING,
    "statement": Permission.VIEW_BILLING,
    "top_up": Permission.MANAGE_BILLING,
    "top_up_preview": Permission.MANAGE_BILLING,
    "top_up_detail": Permission.VIEW_BILLING,
    "top_up_refund": Permission.MANAGE_BILLING,
    "automatic_top_up": Permission.MANAGE_BILLING,
    "payment_methods": Permission.VIEW_BILLING,
    "payment_method_add": Permission.MANAGE_BILLING,
    "payment_method_remove": Permission.MANAGE_BILLING,
    "billing_profile": Permission.MANAGE_BILLING,
    "invoices": Permission.VIEW_BILLING,
    "invoices_csv": Permission.VIEW_BILLING,
    "invoice": Permission.VIEW_BILLING,
    "invoice_pdf": Permission.VIEW_BILLING,
    "invoice_csv": Permission.VIEW_BILLING,
    "invoice_requests": Permission.VIEW_BILLING,
    "receipt_pdf": Permission.VIEW_BILLING,
    "budgets": Permission.VIEW_BILLING,
    "plan": Permission.VIEW_BILLING,
    "plan_keep": Permission.MANAGE_BILLING,
    "plan_change": Permission.MANAGE_BILLING,
    "members": Permission.VIEW,
    "member_invite": Permission.MANAGE_MEMBERS,
    "member_leave": Permission.VIEW,
    "member": Permission.MANAGE_MEMBERS,
    "member_remove": Permission.MANAGE_MEMBERS,
    "invitation_revoke": Permission.MANAGE_MEMBERS,
    "announcement_dismiss": Permission.VIEW,
    "settings": Permission.VIEW,
    "settings_transfer": Permission.DELETE_ORGANIZATION,
    "settings_close": Permission.DELETE_ORGANIZATION,
    "audit": Permission.VIEW_AUDIT,
    "audit_csv": Permission.VIEW_AUDIT,
    "overview": Permission.VIEW,
    "checklist_dismiss": Permission.VIEW,
    "first_call": Permission.VIEW,
    "search": Permission.VIEW,
    "keys": Permission.VIEW,
    "key_new": Permission.MANAGE_KEYS,
    "key": Permission.VIEW,
    "key_edit": Permission.MANAGE_KEYS,
    "key_rotate": Permission.MANAGE_KEYS,
    "key_grace_end": Permission.MANAGE_KEYS,
    "key_revoke_confirm": Permission.MANAGE_KEYS,
    "key_revoke": Permission.MANAGE_KEYS,
    "preferences": Permission.VIEW,
    "preferences_preview": Permission.VIEW,
    "playground": Permission.USE_PLAYGROUND,
    "playground_left": Permission.USE_PLAYGROUND,
    "playground_chat": Permission.USE_PLAYGROUND,
    "playground_chat_send": Permission.USE_PLAYGROUND,
    "playground_image": Permission.USE_PLAYGROUND,
    "playground_image_send": Permission.USE_PLAYGROUND,
    "playground_video": Permission.USE_PLAYGROUND,
    "playground_video_send": Permission.USE_PLAYGROUND,
    "playground_video_task": Permission.USE_PLAYGROUND,
    "routing": Permission.VIEW,
    "requests": Permission.VIEW,
    "requests_csv": Permission.VIEW,
    "usage": Permission.VIEW,
    "usage_csv": Permission.VIEW,
    "request_detail": Permission.VIEW,
    "task": Permission.VIEW,
    "webhooks": Permission.MANAGE_SETTINGS,
    "webhook_new": Permission.MANAGE_SETTINGS,
    "webhook": Permission.MANAGE_SETTINGS,
    "webhook_change": Permission.MANAGE_SETTINGS,
    "webhook_rotate": Permission.MANAGE_SETTINGS,
    "webhook_delete": Permission.MANAGE_SETTINGS,
    "webhook_test": Permission.MANAGE_SETTINGS,
    "webhook_delivery": Permission.MANAGE_SETTINGS,
    "webhook_redeliver": Permission.MANAGE_SETTINGS,
}
POST_ONLY = {
    "checklist_dismiss",
    "key_grace_end",
    "playground_chat_send",
    "playground_image_send",
    "playground_video_send",
    "key_revoke",
    "alert_dismiss",
    "top_up_refund",
    "payment_method_add",
    "payment_method_remove",
    "member_remove",
    "invitation_revoke",
    "settings_transfer",
    "announcement_dismiss",
    "webhook_test",
    "webhook_redeliver",
}
# What whoever may is answered, where it is not a page: back to one, or what is missing.
ANSWERS = {
    "first_call": 204,
    "top_up_refund": 422,
    "plan_keep": 302,
    "playground": 302,
    "playground_chat_send": 400,
    "playground_image_send": 400,
    "playground_video_send": 400,
}
WITH_OBJECT = {
    "key": lambda tenant: factories.key(tenant).key.id,
    "key_edit": lambda tenant: factories.key(tenant).key.id,
    "key_rotate": lambda tenant: factories.key(tenant).key.id,
    "key_grace_end": lambda tenant: factories.key(tenant).key.id,
    "webhook": lambda tenant: factories.endpoint(tenant).id,
    "webhook_change": lambda tenant: factories.endpoint(tenant).id,
    "webhook_rotate": lambda tenant: factories.endpoint(tenant).id,
    "webhook_delete": lambda tenant: factories.endpoint(tenant).id,
    "webhook_test": lambda tenant: factories.endpoint(tenant).id,
    "webhook_delivery": lambda tenant: _delivery(tenant),
    "webhook_redeliver": lambda tenant: _delivery(tenant),
    "key_revoke": lambda tenant: factories.key(tenant).key.id,
    "key_revoke_confirm": lambda tenant: factories.key(tenant).key.id,
    "request_detail": lambda tenant: factories.usage(tenant).id,
    "task": lambda tenant: factories.media_task(tenant).id,
    "playground_video_task": lambda tenant: factories.media_task(tenant).id,
    "alert_dismiss": lambda tenant: factories.alert(tenant).pk,
    "top_up_detail": lambda tenant: factories.top_up(tenant).id,
    "top_up_refund": lambda tenant: factories.top_up(tenant).id,
    "payment_method_remove": lambda tenant: factories.payment_method(tenant).pk,
    "invoice": lambda tenant: factories.invoice(tenant).number,
    "invoice_pdf": lambda tenant: factories.invoice(tenant).number,
    "invoice_csv": lambda tenant: factories.invoice(tenant).number,
    "invoice_requests": lambda tenant: factories.invoice(tenant).number,
    "member": lambda tenant: factories.membership(tenant).pk,
    "member_remove": lambda tenant: factories.membership(tenant).pk,
    "invitation_revoke": lambda tenant: factories.invitation(tenant).pk,
    "receipt_pdf": lambda tenant: factories.top_up(tenant).receipt.number,
}


def _delivery(tenant: Any) -> tuple[str, str]:
    made = factories.delivery(tenant)
    return made.endpoint_id, made.id


def test_every_page_has_its_permission_here() -> None:
    assert {
        pattern.name for pattern in organization_urls if isinstance(pattern, URLPattern)
    } == set(NEEDS)


def address(name: str, tenant: Any, objects: Any = None) -> str:
    """The URL of a page, with objects of ``objects`` (the tenant's own unless said otherwise)."""
    arguments = [tenant.slug]
    if name in WITH_OBJECT:
        made = WITH_OBJECT[name](objects or tenant)
        arguments.extend(made if isinstance(made, tuple) else [made])
    elif name == "plan_change":
        arguments.append("pro")
    elif name == "announcement_dismiss":
        arguments.append(factories.announcement().pk)
    return reverse(name, args=arguments)


def visit(client: Client, name: str, url: str) -> int:
    return client.post(url).status_code if name in POST_ONLY else client.get(url).status_code


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("name", NEEDS)
def test_a_member_is_let_in_as_the_role_allows(
    client: Client, stripe: Stripe, name: str, role: str
) -> None:
    tenant = factories.organization(plan="starter")
    client.force_login(factories.member(tenant, role))

    status = visit(client, name, address(name, tenant))

    allowed = NEEDS[name] in PERMISSIONS[Role(role)]
    answer = ANSWERS.get(name, 302 if name in POST_ONLY else 200)
    assert status == (answer if allowed else 403)


@pytest.mark.parametrize("name", NEEDS)
def test_a_stranger_finds_nothing(client: Client, name: str) -> None:
    client.force_login(factories.member(factories.organization()))

    assert visit(client, name, address(name, factories.organization())) == 404


@pytest.mark.parametrize("name", WITH_OBJECT)
def test_another_tenants_object_is_not_found_in_ones_own(client: Client, name: str) -> None:
    mine, theirs = factories.organization(), factories.organization()
    client.force_login(factories.member(mine))

    url = address(name, mine, theirs)

    assert visit(client, name, url) == 404


@pytest.mark.parametrize("name", NEEDS)
def test_nobody_is_asked_to_sign_in(client: Client, name: str) -> None:
    response = client.get(address(name, factories.organization()))

    assert response.status_code in (302, 405)
    if response.status_code == 302:
        assert response["location"].startswith("/accounts/login/")


@pytest.mark.parametrize("role", Role.values)
def test_preferences_are_changed_by_those_who_may(client: Client, role: str) -> None:
    tenant = factories.organization()
    client.force_login(factories.member(tenant, role))

    response = client.post(reverse("preferences", args=[tenant.slug]), {"strategy": "price"})

    allowed = Permission.MANAGE_PREFERENCES in PERMISSIONS[Role(role)]
    assert response.status_code == (302 if allowed else 403)


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("name", ["budgets", "billing_profile", "top_up", "automatic_top_up"])
def test_money_settings_are_changed_by_those_who_may(
    client: Client, stripe: Stripe, name: str, role: str
) -> None:
    tenant = factories.organization()
    client.force_login(factories.member(tenant, role))

    response = client.post(reverse(name, args=[tenant.slug]), {})

    allowed = Permission.MANAGE_BILLING in PERMISSIONS[Role(role)]
    assert (response.status_code == 403) != allowed


@pytest.mark.parametrize("bad", ["req_x", "req_" + "0" * 32, "key_" + "a" * 32, "%00"])
def test_an_id_that_is_none_is_not_found(client: Client, bad: str) -> None:
    tenant = factories.organization()
    client.force_login(factories.member(tenant))

    assert client.get(f"/o/{tenant.slug}/requests/{bad}/").status_code == 404
    assert client.get(f"/o/{tenant.slug}/keys/{bad}/revoke/").status_code == 404
