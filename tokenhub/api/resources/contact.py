"""``/contact/``: write to us. Needs no credential."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from tokenhub.api.fields import Answer, Body
from tokenhub.api.view import ApiView, operation
from tokenhub.web.contact import submit
from tokenhub.web.models import ContactRequest


class ReferenceSerializer(Answer):
    """That a message arrived."""

    example = {"reference": "7KQ2MZ4H", "topic": "compliance", "status": "new"}

    reference = serializers.CharField(help_text="Quote it when you write again.")
    topic = serializers.ChoiceField(choices=ContactRequest.Topic.choices)
    status = serializers.ChoiceField(choices=ContactRequest.Status.choices)


class MessageSerializer(Body):
    """A message."""

    example = {
        "topic": "compliance", "name": "Ann", "email": "ann@example.com", "company": "Acme",
        "message": "We need the compliance extension.",
    }  # fmt: skip

    topic = serializers.ChoiceField(choices=ContactRequest.Topic.choices)
    name = serializers.CharField(max_length=120)
    email = serializers.EmailField(max_length=254)
    company = serializers.CharField(max_length=120, required=False, allow_blank=True)
    message = serializers.CharField(max_length=5_000)


class Contact(ApiView):
    """Contact Us."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @operation(
        "contact", "Write to us", scopes=(), body=MessageSerializer, answer=ReferenceSerializer,
        status=201,
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponse:
        """Sales, upgrades, the compliance extension, consulting, support. It is confirmed by mail; five an hour are
        taken.
        """
        made = submit(**self.sent(MessageSerializer), ip_address=request.META.get("REMOTE_ADDR"))
        return self.answer(ReferenceSerializer, made, 201)
