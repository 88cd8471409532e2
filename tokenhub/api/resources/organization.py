"""``/organization/``: the organization itself."""

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from accounts.models import Organization as Tenant
from accounts.roles import Permission
from accounts.services import rename_organization
from tokenhub.api.fields import Answer, Body
from tokenhub.api.view import ANY, WRITE, ApiView, operation


class OrganizationSerializer(Answer):
    """An organization."""

    example = {
        "id": "org_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "name": "Acme", "slug": "acme", "status": "active",
        "created_at": "2026-11-02T09:30:00Z",
    }  # fmt: skip

    id = serializers.CharField()
    name = serializers.CharField()
    slug = serializers.CharField(help_text="In the console's addresses; it does not change.")
    status = serializers.ChoiceField(choices=Tenant.Status.choices)
    created_at = serializers.DateTimeField()


class OrganizationChangesSerializer(Body):
    """What can be changed."""

    example = {"name": "Acme Europe"}

    name = serializers.CharField(max_length=120, required=False)


class Organization(ApiView):
    """The organization."""

    @operation(
        "get_organization", "The organization",
        scopes=ANY, permission=Permission.VIEW, answer=OrganizationSerializer,
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """The organization that the caller belongs to."""
        return self.answer(OrganizationSerializer, self.caller.organization)

    @operation(
        "change_organization", "Rename the organization", scopes=WRITE,
        permission=Permission.MANAGE_SETTINGS, body=OrganizationChangesSerializer,
        answer=OrganizationSerializer,
    )  # fmt: skip
    def patch(self, request: Request) -> HttpResponse:
        """Another name; addresses stay as they are."""
        changes = self.sent(OrganizationChangesSerializer)
        tenant = self.caller.organization
        if "name" in changes:
            rename_organization(tenant, changes["name"], actor=self.caller.actor)
        return self.answer(OrganizationSerializer, tenant)
