"""Every URL of the console and the public site. The gateway's ``/v1`` is beside it, in ``asgi``."""

from django.contrib import admin
from django.urls import include, path

from tokenhub.api import explorer
from tokenhub.web import health, styleguide
from tokenhub.web import webhooks as inbound
from tokenhub.web.console import (
    audit,
    keys,
    members,
    overview,
    playground,
    playground_media,
    preferences,
    requests,
    routing,
    search,
    settings,
    tasks,
    usage,
    webhooks,
)
from tokenhub.web.console.billing import automatic, invoices, ledger, plan, profile, topup
from tokenhub.web.console.billing import overview as billing
from tokenhub.web.me import account
from tokenhub.web.me import notices as my_notices
from tokenhub.web.public import catalogue, contact, docs, home, leaks, notices, pricing, texts
from tokenhub.web.public.caching import shared

money = [
    path("billing/", billing.billing, name="billing"),
    path("billing/alerts/<int:alert_id>/dismiss/", billing.alert_dismiss, name="alert_dismiss"),
    path("billing/ledger/", ledger.ledger, name="ledger"),
    path("billing/ledger/statement.csv", ledger.statement, name="statement"),
    path("billing/top-up/", topup.top_up, name="top_up"),
    path("billing/top-up/preview/", topup.top_up_preview, name="top_up_preview"),
    path("billing/top-up/<str:top_up_id>/", topup.top_up_detail, name="top_up_detail"),
    path("billing/top-up/<str:top_up_id>/refund/", topup.top_up_refund, name="top_up_refund"),
    path("billing/auto-top-up/", automatic.automatic_top_up, name="automatic_top_up"),
    path("billing/payment-methods/", automatic.payment_methods, name="payment_methods"),
    path("billing/payment-methods/add/", automatic.payment_method_add, name="payment_method_add"),
    path(
        "billing/payment-methods/<int:method_id>/remove/",
        automatic.payment_method_remove,
        name="payment_method_remove",
    ),
    path("billing/profile/", profile.billing_profile, name="billing_profile"),
    path("billing/invoices/", invoices.invoices, name="invoices"),
    path("billing/invoices/focus.csv", invoices.invoices_csv, name="invoices_csv"),
    path("billing/invoices/<slug:number>.pdf", invoices.invoice_pdf, name="invoice_pdf"),
    path("billing/invoices/<slug:number>.csv", invoices.invoice_csv, name="invoice_csv"),
    path(
        "billing/invoices/<slug:number>/requests.csv",
        invoices.invoice_requests,
        name="invoice_requests",
    ),
    path("billing/invoices/<slug:number>/", invoices.invoice, name="invoice"),
    path("billing/receipts/<slug:number>.pdf", invoices.receipt_pdf, name="receipt_pdf"),
    path("budgets/", profile.budgets, name="budgets"),
    path("plan/", plan.plan, name="plan"),
    path("plan/keep/", plan.plan_keep, name="plan_keep"),
    path("plan/change/<slug:to>/", plan.plan_change, name="plan_change"),
]
people = [
    path("members/", members.members, name="members"),
    path("members/invite/", members.member_invite, name="member_invite"),
    path("members/leave/", members.member_leave, name="member_leave"),
    path("members/<int:member_id>/", members.member, name="member"),
    path("members/<int:member_id>/remove/", members.member_remove, name="member_remove"),
    path(
        "members/invitations/<str:invitation_id>/revoke/",
        members.invitation_revoke,
        name="invitation_revoke",
    ),
    path(
        "announcements/<int:announcement_id>/dismiss/",
        notices.announcement_dismiss,
        name="announcement_dismiss",
    ),
    path("settings/", settings.settings, name="settings"),
    path("settings/transfer/", settings.settings_transfer, name="settings_transfer"),
    path("settings/close/", settings.settings_close, name="settings_close"),
    path("audit/", audit.audit, name="audit"),
    path("audit/audit.csv", audit.audit_csv, name="audit_csv"),
]
telling = [
    path("webhooks/", webhooks.webhooks, name="webhooks"),
    path("webhooks/new/", webhooks.webhook_new, name="webhook_new"),
    path("webhooks/<str:webhook_id>/", webhooks.webhook, name="webhook"),
    path("webhooks/<str:webhook_id>/change/", webhooks.webhook_change, name="webhook_change"),
    path("webhooks/<str:webhook_id>/rotate/", webhooks.webhook_rotate, name="webhook_rotate"),
    path("webhooks/<str:webhook_id>/delete/", webhooks.webhook_delete, name="webhook_delete"),
    path("webhooks/<str:webhook_id>/test/", webhooks.webhook_test, name="webhook_test"),
    path(
        "webhooks/<str:webhook_id>/<str:delivery_id>/",
        webhooks.webhook_delivery,
        name="webhook_delivery",
    ),
    path(
        "webhooks/<str:webhook_id>/<str:delivery_id>/redeliver/",
        webhooks.webhook_redeliver,
        name="webhook_redeliver",
    ),
]
organization = [
    *money,
    *people,
    *telling,
    path("", overview.overview, name="overview"),
    path("checklist/dismiss/", overview.checklist_dismiss, name="checklist_dismiss"),
    path("first-call/", overview.first_call, name="first_call"),
    path("search/", search.search, name="search"),
    path("keys/", keys.keys, name="keys"),
    path("keys/new/", keys.key_new, name="key_new"),
    path("keys/<str:key_id>/", keys.key, name="key"),
    path("keys/<str:key_id>/edit/", keys.key_edit, name="key_edit"),
    path("keys/<str:key_id>/rotate/", keys.key_rotate, name="key_rotate"),
    path("keys/<str:key_id>/end-grace/", keys.key_grace_end, name="key_grace_end"),
    path("keys/<str:key_id>/revoke/", keys.key_revoke_confirm, name="key_revoke_confirm"),
    path("keys/<str:key_id>/revoke/now/", keys.key_revoke, name="key_revoke"),
    path("playground/", playground.playground, name="playground"),
    path("playground/left/", playground.playground_left, name="playground_left"),
    path("playground/chat/", playground.playground_chat, name="playground_chat"),
    path("playground/chat/send/", playground.playground_chat_send, name="playground_chat_send"),
    path("playground/image/", playground_media.playground_image, name="playground_image"),
    path(
        "playground/image/send/",
        playground_media.playground_image_send,
        name="playground_image_send",
    ),
    path("playground/video/", playground_media.playground_video, name="playground_video"),
    path(
        "playground/video/send/",
        playground_media.playground_video_send,
        name="playground_video_send",
    ),
    path(
        "playground/video/<str:task_id>/",
        playground_media.playground_video_task,
        name="playground_video_task",
    ),
    path("preferences/", preferences.preferences, name="preferences"),
    path("preferences/preview/", preferences.preferences_preview, name="preferences_preview"),
    path("routing/", routing.routing, name="routing"),
    path("usage/", usage.usage, name="usage"),
    path("usage/usage.csv", usage.usage_csv, name="usage_csv"),
    path("requests/", requests.requests, name="requests"),
    path("requests/requests.csv", requests.requests_csv, name="requests_csv"),
    path("requests/<str:request_id>/", requests.request_detail, name="request_detail"),
    path("tasks/<str:task_id>/", tasks.task, name="task"),
]

public = [
    path("", shared(home.home), name="home"),
    path("docs/", shared(docs.index), name="docs"),
    path("docs/search/", shared(docs.search), name="docs_search"),
    path("docs/<slug:slug>.md", docs.markdown, name="docs_markdown"),
    path("docs/<slug:slug>/", shared(docs.page), name="docs_page"),
    path("llms.txt", docs.llms, name="llms"),
    path("pricing/", shared(pricing.pricing), name="pricing"),
    path("models/", shared(catalogue.models), name="models"),
    path("models/compare/", shared(catalogue.compare), name="models_compare"),
    path("models/<str:slug>/", shared(catalogue.model), name="model"),
    path("providers/", shared(catalogue.providers), name="providers"),
    path("providers/<slug:slug>/", shared(catalogue.provider), name="provider"),
    path("status/", shared(notices.status), name="status"),
    path("status/feed.atom", notices.StatusFeed(), name="status_feed"),
    path("announcements/", shared(notices.announcements), name="announcements"),
    path("announcements/feed.atom", notices.AnnouncementFeed(), name="announcements_feed"),
    path("announcements/<slug:slug>/", shared(notices.announcement), name="announcement"),
    path("faq/", shared(texts.faq), name="faq"),
    path("legal/<slug:page>/", shared(texts.legal), name="legal"),
    path("security/", shared(texts.security), name="security"),
    path("security/leaked-key/", leaks.leaked_key, name="leaked_key"),
    path(".well-known/security.txt", texts.security_txt, name="security_txt"),
    path("favicon.ico", texts.favicon, name="favicon"),
    path("robots.txt", texts.robots, name="robots"),
    path("sitemap.xml", texts.sitemap, name="sitemap"),
    path("contact/", contact.contact, name="contact"),
    path("contact/sent/<slug:reference>/", contact.contact_sent, name="contact_sent"),
]

person = [
    path("me/", account.index, name="me"),
    path("me/profile/", account.profile, name="me_profile"),
    path("me/security/", account.security, name="me_security"),
    path("me/sessions/", account.sessions, name="me_sessions"),
    path("me/sessions/<int:session_id>/end/", account.session_end, name="me_session_end"),
    path("me/notifications/", my_notices.choices, name="me_notifications"),
    path("me/appearance/", account.appearance, name="me_appearance"),
    path("me/export/", account.export_page, name="me_export"),
    path("me/export/data.json", account.export_file, name="me_export_file"),
    path("me/delete/", account.delete, name="me_delete"),
    path("notifications/", my_notices.notices, name="notifications"),
    path("notifications/read/", my_notices.notices_read, name="notifications_read"),
]

urlpatterns = [
    *public,
    *person,
    path("console/", overview.console, name="console"),
    path("o/new/", overview.organization_new, name="organization_new"),
    path("invite/<str:token>/", members.invitation, name="invitation"),
    path("o/<slug:slug>/", include(organization)),
    path("api/docs/", explorer.explorer, name="api_explorer"),
    path("api/v1/", include("tokenhub.api.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("webhooks/stripe/", inbound.stripe, name="stripe_webhook"),
    path("dev/mailbox/", home.mailbox, name="mailbox"),
    path("styleguide/", styleguide.styleguide, name="styleguide"),
]

handler403 = "tokenhub.web.public.home.forbidden"
handler500 = "tokenhub.web.outage.failed"
