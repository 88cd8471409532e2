"""``/webhooks/``: where the organization's programs are told what happens, and how that went."""

from typing import Any

from django.core.validators import RegexValidator
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from accounts.webhooks import services
from accounts.webhooks.events import KINDS
from accounts.webhooks.models import Delivery, Endpoint
from tokenhub.api.fields import Answer, Body, Items, Nothing
from tokenhub.api.pages import PageQuery, page, paged
from tokenhub.api.view import READ, WRITE, ApiView, operation

# Whether requests may go there is asked of its host, when it is saved and at each delivery.
IS_URL = RegexValidator(
    r"^https?://[!-~]+\Z", "A URL begins with https:// and has ASCII characters without spaces."
)


class WebhookSerializer(Answer):
    """An address that is told. Every delivery is signed by Standard Webhooks."""

    example = {
        "id": "whk_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "url": "https://example.com/hooks",
        "description": "Finance", "events": ["balance.low"], "enabled": True, "disabled_reason": "",
        "created_at": "2026-11-02T09:30:00Z",
    }  # fmt: skip

    id = serializers.CharField()
    url = serializers.CharField()
    description = serializers.CharField()
    events = serializers.ListField(
        child=serializers.CharField(), help_text="Empty: every kind, those to come too."
    )
    enabled = serializers.BooleanField()
    disabled_reason = serializers.CharField(help_text="Why it was switched off, if it was by us.")
    created_at = serializers.DateTimeField()


class WebhookWithSecretSerializer(WebhookSerializer):
    """An address with the secret that its deliveries are signed with. This is the only time it is shown."""

    example = {**WebhookSerializer.example, "secret": "whsec_…"}

    secret = serializers.CharField()


class WebhookChangesSerializer(Body):
    """What can be changed; what is left out stays."""

    example = {"events": ["balance.low", "topup.failed"], "enabled": True}

    url = serializers.CharField(max_length=500, required=False, validators=[IS_URL])
    events = Items(
        child=serializers.ChoiceField(choices=sorted(KINDS)), required=False, max_length=len(KINDS)
    )
    description = serializers.CharField(max_length=120, required=False, allow_blank=True)
    enabled = serializers.BooleanField(required=False)


class NewWebhookSerializer(Body):
    """An address to be told."""

    example = {"url": "https://example.com/hooks", "events": ["balance.low"]}

    url = serializers.CharField(
        max_length=500, validators=[IS_URL], help_text="Public, and https in production."
    )
    events = Items(
        child=serializers.ChoiceField(choices=sorted(KINDS)), required=False, max_length=len(KINDS),
        help_text="Empty: every kind, those to come too.",
    )  # fmt: skip
    description = serializers.CharField(max_length=120, required=False, allow_blank=True)


class DeliverySerializer(Answer):
    """One event on its way to one address."""

    example = {
        "id": "dlv_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "event": "msg_0199f0c2b7d47c0e8a52c1d0f3b6a9e4",
        "kind": "balance.low", "status": "succeeded", "attempts": 1, "response_status": 204, "error": "",
        "next_try_at": None, "created_at": "2026-11-02T09:30:00Z", "finished_at": "2026-11-02T09:30:01Z",
    }  # fmt: skip

    id = serializers.CharField()
    event = serializers.CharField(source="event_id")
    kind = serializers.CharField(source="event.kind")
    status = serializers.ChoiceField(choices=Delivery.Status.choices)
    attempts = serializers.IntegerField()
    response_status = serializers.IntegerField(
        source="last_attempt.response_status", allow_null=True, default=None
    )
    error = serializers.CharField(source="last_attempt.error", default="")
    next_try_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class WebhooksView(ApiView):
    """What the operations on webhooks share."""

    def endpoint(self, webhook_id: str) -> Endpoint:
        """The organization's endpoint of this id."""
        found: Endpoint = self.one(
            Endpoint.objects.select_related("organization"), webhook_id, "webhook"
        )
        return found

    def revealed(self, revealed: services.Revealed, status: int) -> HttpResponse:
        """The one answer that has the secret in it."""
        endpoint = revealed.endpoint
        shown = {**WebhookSerializer(endpoint).data, "secret": revealed.secret}
        answer = self.answer(WebhookWithSecretSerializer, shown, status)
        answer.secret_of = endpoint.id  # type: ignore[attr-defined]
        return answer


class Webhooks(WebhooksView):
    """The webhooks."""

    @operation(
        "list_webhooks", "List webhooks", scopes=READ, permission=Permission.MANAGE_SETTINGS,
        query=PageQuery, answer=paged(WebhookSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Every address that is told, the oldest first."""
        rows = Endpoint.objects.for_organization(self.caller.organization)
        return page(request, self.asked(PageQuery), rows, WebhookSerializer, by="id")

    @operation(
        "create_webhook", "Create a webhook", scopes=WRITE, permission=Permission.MANAGE_SETTINGS,
        recent=True, body=NewWebhookSerializer, answer=WebhookWithSecretSerializer, status=201,
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponse:
        """The secret is in this answer alone: keep it, to verify the signatures."""
        wanted, caller = self.sent(NewWebhookSerializer), self.caller
        url = wanted.pop("url")
        made = services.add(
            caller.organization, url, created_by=caller.person, actor=caller.actor, **wanted
        )
        return self.revealed(made, 201)


class Webhook(WebhooksView):
    """One webhook."""

    @operation(
        "get_webhook", "One webhook", scopes=READ, permission=Permission.MANAGE_SETTINGS,
        answer=WebhookSerializer,
    )  # fmt: skip
    def get(self, request: Request, webhook_id: str) -> HttpResponse:
        """Where it goes and what it is told."""
        return self.answer(WebhookSerializer, self.endpoint(webhook_id))

    @operation(
        "change_webhook", "Change a webhook", scopes=WRITE, permission=Permission.MANAGE_SETTINGS,
        body=WebhookChangesSerializer, answer=WebhookSerializer,
    )  # fmt: skip
    def patch(self, request: Request, webhook_id: str) -> HttpResponse:
        """Another address, other events, on or off."""
        endpoint = self.endpoint(webhook_id)
        kept = {
            name: getattr(endpoint, name) for name in ("url", "events", "description", "enabled")
        }
        wanted: dict[str, Any] = {**kept, **self.sent(WebhookChangesSerializer)}
        changed = services.change(endpoint, actor=self.caller.actor, **wanted)
        return self.answer(WebhookSerializer, changed)

    @operation(
        "delete_webhook", "Delete a webhook", scopes=WRITE, permission=Permission.MANAGE_SETTINGS,
        status=204,
    )  # fmt: skip
    def delete(self, request: Request, webhook_id: str) -> HttpResponse:
        """With its deliveries."""
        services.remove(self.endpoint(webhook_id), actor=self.caller.actor)
        return Response(status=204)


class WebhookRotation(WebhooksView):
    """A webhook's secret."""

    @operation(
        "rotate_webhook_secret", "Rotate a webhook's secret", scopes=WRITE,
        permission=Permission.MANAGE_SETTINGS, recent=True, answer=WebhookWithSecretSerializer,
    )  # fmt: skip
    def post(self, request: Request, webhook_id: str) -> HttpResponse:
        """A new secret, in this answer alone. For a day, deliveries are signed with the one before too."""
        self.sent(Nothing)
        revealed = services.rotate(self.endpoint(webhook_id), actor=self.caller.actor)
        return self.revealed(revealed, 200)


class WebhookTest(WebhooksView):
    """A trial."""

    @operation(
        "test_webhook", "Send a test event", scopes=WRITE, permission=Permission.MANAGE_SETTINGS,
        answer=DeliverySerializer, status=202,
    )  # fmt: skip
    def post(self, request: Request, webhook_id: str) -> HttpResponse:
        """An event that means nothing, to this address alone."""
        self.sent(Nothing)
        made = services.send_test(self.endpoint(webhook_id))
        return self.answer(DeliverySerializer, made, 202)


class Deliveries(WebhooksView):
    """What was sent."""

    @operation(
        "list_deliveries", "List deliveries", scopes=READ, permission=Permission.MANAGE_SETTINGS,
        query=PageQuery, answer=paged(DeliverySerializer),
    )  # fmt: skip
    def get(self, request: Request, webhook_id: str) -> HttpResponse:
        """What was sent to an address and how it went, the newest first."""
        endpoint = self.endpoint(webhook_id)
        rows = Delivery.objects.for_organization(self.caller.organization).filter(endpoint=endpoint)
        return page(
            request, self.asked(PageQuery),
            rows.select_related("event").prefetch_related("log"), DeliverySerializer,
        )  # fmt: skip


class Redelivery(WebhooksView):
    """One delivery, again."""

    @operation(
        "redeliver", "Deliver again", scopes=WRITE, permission=Permission.MANAGE_SETTINGS,
        answer=DeliverySerializer, status=202,
    )  # fmt: skip
    def post(self, request: Request, webhook_id: str, delivery_id: str) -> HttpResponse:
        """Under the same id, so that a receiver that counts ids counts it once."""
        self.sent(Nothing)
        rows = Delivery.objects.filter(endpoint=self.endpoint(webhook_id))
        rows = rows.select_related("event", "endpoint")
        delivery: Delivery = self.one(rows, delivery_id, "delivery")
        services.redeliver(delivery)
        delivery.refresh_from_db()
        return self.answer(DeliverySerializer, delivery, 202)
