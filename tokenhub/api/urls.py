"""Every route of ``/api/v1``."""

from django.urls import path

from tokenhub.api import explorer
from tokenhub.api.resources import (
    audit,
    budgets,
    catalogue,
    contact,
    invoices,
    keys,
    me,
    money,
    organization,
    people,
    preferences,
    requests,
    routes,
    status,
    subscription,
    usage,
    webhooks,
)

urlpatterns = [
    path("me/", me.Me.as_view(), name="api_me"),
    path("organization/", organization.Organization.as_view(), name="api_organization"),
    path("keys/", keys.Keys.as_view(), name="api_keys"),
    path("keys/<str:key_id>/", keys.Key.as_view(), name="api_key"),
    path("keys/<str:key_id>/rotate/", keys.KeyRotation.as_view(), name="api_key_rotate"),
    path("preferences/", preferences.Preferences.as_view(), name="api_preferences"),
    path("models/", catalogue.Models.as_view(), name="api_models"),
    path("providers/", catalogue.Providers.as_view(), name="api_providers"),
    path("plans/", catalogue.Plans.as_view(), name="api_plans"),
    path("announcements/", catalogue.Announcements.as_view(), name="api_announcements"),
    path("status/", status.Status.as_view(), name="api_status"),
    path("routes/explain/", routes.Explain.as_view(), name="api_explain"),
    path("requests/", requests.Requests.as_view(), name="api_requests"),
    path("requests/<str:request_id>/", requests.OneRequest.as_view(), name="api_request"),
    path("usage/", usage.Usage.as_view(), name="api_usage"),
    path("balance/", money.Balance.as_view(), name="api_balance"),
    path("transactions/", money.Transactions.as_view(), name="api_transactions"),
    path("top-ups/", money.TopUps.as_view(), name="api_top_ups"),
    path("top-ups/<str:top_up_id>/", money.TopUp.as_view(), name="api_top_up"),
    path("invoices/", invoices.Invoices.as_view(), name="api_invoices"),
    path("invoices/<str:number>.pdf", invoices.InvoicePdf.as_view(), name="api_invoice_pdf"),
    path("invoices/<str:number>/", invoices.Invoice.as_view(), name="api_invoice"),
    path("budgets/", budgets.Budgets.as_view(), name="api_budgets"),
    path("subscription/", subscription.Subscription.as_view(), name="api_subscription"),
    path("members/", people.Members.as_view(), name="api_members"),
    path("members/<str:member_id>/", people.Member.as_view(), name="api_member"),
    path("invitations/", people.Invitations.as_view(), name="api_invitations"),
    path("invitations/<str:invitation_id>/", people.Invitation.as_view(), name="api_invitation"),
    path("audit-events/", audit.AuditEvents.as_view(), name="api_audit_events"),
    path("webhooks/", webhooks.Webhooks.as_view(), name="api_webhooks"),
    path("webhooks/<str:webhook_id>/", webhooks.Webhook.as_view(), name="api_webhook"),
    path(
        "webhooks/<str:webhook_id>/rotate/",
        webhooks.WebhookRotation.as_view(),
        name="api_webhook_rotate",
    ),
    path(
        "webhooks/<str:webhook_id>/test/", webhooks.WebhookTest.as_view(), name="api_webhook_test"
    ),
    path(
        "webhooks/<str:webhook_id>/deliveries/",
        webhooks.Deliveries.as_view(),
        name="api_deliveries",
    ),
    path(
        "webhooks/<str:webhook_id>/deliveries/<str:delivery_id>/redeliver/",
        webhooks.Redelivery.as_view(),
        name="api_redeliver",
    ),
    path("contact/", contact.Contact.as_view(), name="api_contact"),
    path("schema/", explorer.Schema.as_view(), name="api_schema"),
]
