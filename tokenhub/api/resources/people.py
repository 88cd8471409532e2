"""``/members/`` and ``/invitations/``: who belongs to the organization, and who is asked to."""

import re
from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import members as service
from accounts.models import Invitation as Offer
from accounts.models import Membership
from accounts.roles import Permission, Role
from tokenhub.api.fields import Answer, Body
from tokenhub.api.pages import PageQuery, page, paged
from tokenhub.api.problems import not_found
from tokenhub.api.view import READ, WRITE, ApiView, operation

_MEMBER_ID = re.compile(r"mem_(\d{1,18})\Z", re.ASCII)


class MemberSerializer(Answer):
    """A member."""

    example = {
        "id": "mem_12", "email": "ann@example.com", "name": "Ann", "role": "developer",
        "joined_at": "2026-11-02T09:30:00Z",
    }  # fmt: skip

    id = serializers.SerializerMethodField()
    email = serializers.CharField(source="user.email")
    name = serializers.CharField(source="user.name")
    role = serializers.ChoiceField(choices=Role.choices)
    joined_at = serializers.DateTimeField(source="created_at")

    def get_id(self, membership: Membership) -> str:
        return f"mem_{membership.pk}"


class RoleSerializer(Body):
    """Another role."""

    example = {"role": "admin"}

    role = serializers.ChoiceField(choices=Role.choices)


class InvitationSerializer(Answer):
    """An invitation. The link that accepts it is in the mail alone."""

    example = {
        "id": "invite_0199f0c2b7d47c0e8a52c1d0f3b6a9e4", "email": "ben@example.com", "role": "viewer",
        "status": "open", "invited_by": "ann@example.com", "created_at": "2026-11-02T09:30:00Z",
        "expires_at": "2026-11-09T09:30:00Z",
    }  # fmt: skip

    id = serializers.CharField()
    email = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)
    status = serializers.SerializerMethodField()
    invited_by = serializers.CharField(source="invited_by.email", allow_null=True, default=None)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    def get_status(self, offer: Offer) -> str:
        """`open`, `accepted`, `revoked` or `expired`."""
        if offer.accepted_at is not None:
            return "accepted"
        if offer.revoked_at is not None:
            return "revoked"
        return "open" if offer.is_open else "expired"


class NewInvitationSerializer(Body):
    """Who is invited, as what."""

    example = {"email": "ben@example.com", "role": "viewer"}

    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(choices=Role.choices)


class PeopleView(ApiView):
    """What the operations on people share."""

    def member(self, member_id: str) -> Membership:
        """The organization's member of this id."""
        match = _MEMBER_ID.match(member_id)
        if match is None:
            raise not_found("member")
        rows = Membership.objects.select_related("user", "organization")
        found: Membership = self.one(rows, match[1], "member")
        return found

    def invite(self) -> HttpResponse:
        """Mail somebody an invitation."""
        wanted, caller = self.sent(NewInvitationSerializer), self.caller
        made = service.invite(
            caller.organization,
            wanted["email"],
            wanted["role"],
            by=caller.acting,
            actor=caller.actor,
            answers=caller.person,
        )
        return self.answer(InvitationSerializer, made, 201)


class Members(PeopleView):
    """The members."""

    @operation(
        "list_members", "List members", scopes=READ, permission=Permission.VIEW, query=PageQuery,
        answer=paged(MemberSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Everybody, in the order of joining."""
        rows = Membership.objects.for_organization(self.caller.organization).select_related("user")
        return page(request, self.asked(PageQuery), rows, MemberSerializer, by="id")

    @operation(
        "add_member", "Add a member", scopes=WRITE, permission=Permission.MANAGE_MEMBERS,
        recent=True, body=NewInvitationSerializer, answer=InvitationSerializer, status=201,
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponse:
        """Nobody becomes a member without agreeing: this invites them, as `POST /invitations/` does."""
        return self.invite()


class Member(PeopleView):
    """One member."""

    @operation(
        "get_member", "One member", scopes=READ, permission=Permission.VIEW, answer=MemberSerializer
    )
    def get(self, request: Request, member_id: str) -> HttpResponse:
        """A member and their role."""
        return self.answer(MemberSerializer, self.member(member_id))

    @operation(
        "change_member", "Change a member's role", scopes=WRITE,
        permission=Permission.MANAGE_MEMBERS, recent=True, body=RoleSerializer, answer=MemberSerializer,
    )  # fmt: skip
    def patch(self, request: Request, member_id: str) -> HttpResponse:
        """Owners are made and changed by owners in the console, never by a key."""
        member, caller = self.member(member_id), self.caller
        role = self.sent(RoleSerializer)["role"]
        service.change_role(member, role, by=caller.acting, actor=caller.actor)
        return self.answer(MemberSerializer, self.member(member_id))

    @operation(
        "remove_member", "Remove a member", scopes=WRITE, permission=Permission.MANAGE_MEMBERS,
        recent=True, status=204,
    )  # fmt: skip
    def delete(self, request: Request, member_id: str) -> HttpResponse:
        """End a membership. The keys that this member made or was the last to rotate are revoked, and their open
        invitations. Of a key that somebody else has rotated since, the secret that this member was shown is refused.
        """
        caller = self.caller
        service.remove(self.member(member_id), by=caller.acting, actor=caller.actor)
        return Response(status=204)


class Invitations(PeopleView):
    """The invitations."""

    @operation(
        "list_invitations", "List invitations", scopes=READ, permission=Permission.VIEW,
        query=PageQuery, answer=paged(InvitationSerializer),
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """The newest first, those that are over too."""
        rows = Offer.objects.for_organization(self.caller.organization)
        return page(
            request, self.asked(PageQuery), rows.select_related("invited_by"), InvitationSerializer
        )

    @operation(
        "create_invitation", "Invite somebody", scopes=WRITE, permission=Permission.MANAGE_MEMBERS,
        recent=True, body=NewInvitationSerializer, answer=InvitationSerializer, status=201,
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponse:
        """By mail; the link works for seven days. Inviting an address again replaces the invitation before."""
        return self.invite()


class Invitation(PeopleView):
    """One invitation."""

    @operation(
        "get_invitation", "One invitation", scopes=READ, permission=Permission.VIEW,
        answer=InvitationSerializer,
    )  # fmt: skip
    def get(self, request: Request, invitation_id: str) -> HttpResponse:
        """How it stands."""
        return self.answer(InvitationSerializer, self._offer(invitation_id))

    @operation(
        "change_invitation", "Change an invitation's role", scopes=WRITE,
        permission=Permission.MANAGE_MEMBERS, recent=True, body=RoleSerializer, answer=InvitationSerializer,
    )  # fmt: skip
    def patch(self, request: Request, invitation_id: str) -> HttpResponse:
        """What an open one makes of its reader; the link in the mail stays. One that is over is a 409."""
        offer, caller = self._offer(invitation_id), self.caller
        role = self.sent(RoleSerializer)["role"]
        changed = service.change_invitation(
            offer, role, by=caller.acting, actor=caller.actor, answers=caller.person
        )
        return self.answer(InvitationSerializer, changed)

    @operation(
        "revoke_invitation", "Revoke an invitation", scopes=WRITE,
        permission=Permission.MANAGE_MEMBERS, answer=InvitationSerializer,
    )  # fmt: skip
    def delete(self, request: Request, invitation_id: str) -> HttpResponse:
        """Take an open one back; one that is over stays as it is."""
        service.revoke_invitation(self._offer(invitation_id), actor=self.caller.actor)
        return self.answer(InvitationSerializer, self._offer(invitation_id))

    def _offer(self, invitation_id: str) -> Any:
        rows = Offer.objects.select_related("invited_by", "organization")
        return self.one(rows, invitation_id, "invitation")
