"""People and organizations for operators."""

from collections.abc import Callable
from functools import partial
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.audit import Actor, record
from accounts.errors import AccountError
from accounts.members import LAST_OWNER, change_role, remove
from accounts.models import AuditEvent, Membership, Organization, User
from accounts.personal import switch_off
from accounts.roles import Role
from accounts.services import (
    MIN_REASON,
    reinstate_organization,
    rename_organization,
    suspend_organization,
)


def staff(request: HttpRequest) -> Actor:
    """The operator of a request, for the audit trail."""
    return Actor.staff(request.user.get_username(), request.META.get("REMOTE_ADDR"))


class ReasonForm(forms.Form):
    """Why something is done to a customer; they see it in their audit trail."""

    reason = forms.CharField(
        min_length=MIN_REASON, max_length=200,
        help_text="The organization reads it in its audit trail.",
    )  # fmt: skip


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that operators may see and nobody may change."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipForm(forms.ModelForm):  # type: ignore[type-arg]
    """Somebody's role. Who it is stays: another person is another membership."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["user"].disabled = True


class MembersFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """Everybody in an organization: an owner stays."""

    def clean(self) -> None:
        super().clean()
        before = {form.initial.get("role") for form in self.initial_forms}
        after = {form.cleaned_data.get("role") for form in self.forms if not self._gone(form)}
        if Role.OWNER in before - after and self.instance.status != Organization.Status.CLOSED:
            raise forms.ValidationError(LAST_OWNER)

    def _gone(self, form: Any) -> bool:
        return not hasattr(form, "cleaned_data") or bool(form.cleaned_data.get("DELETE"))


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    """Members, within their organization."""

    model = Membership
    form = MembershipForm
    formset = MembersFormSet
    extra = 0
    raw_id_fields = ["user"]


@admin.register(User)
class UserAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """People; their passwords are theirs."""

    list_display = ["email", "name", "is_active", "is_staff", "date_joined"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "name"]
    readonly_fields = ["date_joined", "last_login"]
    fields = [
        ("email", "name"),
        ("is_active", "is_staff", "is_superuser"),
        "groups",
        ("date_joined", "last_login"),
    ]
    filter_horizontal = ["groups"]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "is_active" in form.changed_data and not obj.is_active:
            switch_off(obj, actor=staff(request))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # people end their own accounts; what operators did stays with theirs


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Tenants."""

    list_display = ["name", "slug", "status", "created_at"]
    list_filter = ["status"]
    search_fields = ["name", "slug", "memberships__user__email"]
    # Its status is changed by the actions, which ask for the reason.
    readonly_fields = ["id", "slug", "status", "created_at"]
    inlines = [MembershipInline]
    actions = ["suspend", "reinstate"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # whoever owns it creates it

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its books are kept

    @admin.action(description="Suspend: refuse every call at once", permissions=["change"])
    def suspend(
        self, request: HttpRequest, queryset: QuerySet[Organization]
    ) -> HttpResponse | None:
        """Stop the calls of organizations, for a reason."""
        return self._with_reason(request, queryset, "suspend", suspend_organization)

    @admin.action(description="Reinstate", permissions=["change"])
    def reinstate(
        self, request: HttpRequest, queryset: QuerySet[Organization]
    ) -> HttpResponse | None:
        """Let organizations call again, for a reason."""
        return self._with_reason(request, queryset, "reinstate", reinstate_organization)

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        if "name" in form.changed_data:
            name, obj.name = obj.name, form.initial["name"]
            rename_organization(obj, name, actor=staff(request))

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Members come, change and go as in the console: with their keys and invitations, and in the trail."""
        actor = staff(request)
        formset.save(commit=False)
        for member in formset.new_objects:
            member.save()
            record(
                form.instance, actor, "member.added", member.user.email, after={"role": member.role}
            )  # fmt: skip
        # Owners are made before others are owners no more.
        for member, _ in sorted(formset.changed_objects, key=lambda each: each[0].role != Role.OWNER):  # fmt: skip
            self._try(request, member, partial(change_role, member, member.role, by=None, actor=actor))  # fmt: skip
        for member in formset.deleted_objects:
            self._try(request, member, partial(remove, member, by=None, actor=actor))

    def _try(self, request: HttpRequest, member: Membership, do: Callable[[], None]) -> None:
        """Say what is refused after all: the others were changed since the form was checked."""
        try:
            do()
        except AccountError as error:
            self.message_user(request, f"Not done for {member.user.email}: {error}", messages.ERROR)

    def _with_reason(
        self, request: HttpRequest, chosen: QuerySet[Organization], action: str, do: Any
    ) -> HttpResponse | None:
        """Ask for the reason on a page of its own, then do it to each and say what came of it."""
        form = ReasonForm(request.POST if "reason" in request.POST else None)
        if form.is_bound and form.is_valid():
            reason = form.cleaned_data["reason"]
            for organization in chosen:
                try:
                    changed = do(organization, reason=reason, actor=staff(request))
                except AccountError as error:
                    self.message_user(request, f"{organization}: {error}", messages.ERROR)
                    continue
                if changed:
                    self.log_change(request, organization, f"{action}: {reason}")
                said = "done" if changed else "nothing to do"
                self.message_user(request, f"{organization}: {said}.", messages.SUCCESS)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": f"{action.capitalize()} {chosen.count()} organization(s)",
            "chosen": chosen,
            "action": action,
            "form": form,
            "opts": self.model._meta,
        }
        return render(request, "admin/accounts/organization/reason.html", context)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """Who did what."""

    list_display = ["created_at", "organization", "actor", "action", "target", "ip_address"]
    list_filter = ["action", "actor_kind"]
    search_fields = ["actor", "target", "organization__slug"]


# Registered by allauth with all their columns: the secret of a code generator, the key of a session.
# The applications and their secrets come from the environment; tokens are not kept.
for _model in (Authenticator, UserSession, SocialAccount, SocialApp, SocialToken):
    admin.site.unregister(_model)


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """Who has which factor. One that was lost is deleted; nobody can read or make one here."""

    list_display = ["user", "type", "created_at", "last_used_at"]
    list_filter = ["type"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    fields = ["user", "type", "created_at", "last_used_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("mfa.delete_authenticator")


@admin.register(UserSession)
class UserSessionAdmin(ReadOnlyAdmin):
    """Where people are signed in; whose session it is cannot be taken over from here."""

    list_display = ["user", "created_at", "last_seen_at", "ip", "user_agent"]
    list_select_related = ["user"]
    search_fields = ["user__email", "ip"]
    fields = ["user", "created_at", "last_seen_at", "ip", "user_agent"]


@admin.register(SocialAccount)
class SocialAccountAdmin(ReadOnlyAdmin):
    """Which accounts elsewhere people sign in with."""

    list_display = ["user", "provider", "uid", "last_login"]
    list_filter = ["provider"]
    list_select_related = ["user"]
    search_fields = ["user__email", "uid"]
    fields = ["user", "provider", "uid", "date_joined", "last_login"]
