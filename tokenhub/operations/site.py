"""The operators' admin: Django's own, with an overview first, a search over customers, and a second factor."""

from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, URLResolver, path
from django.utils.decorators import method_decorator

NEEDS_FACTOR = "Operators sign in with a second factor. Set one up to go on."


class OperationsSite(admin.AdminSite):
    """``admin.site``, by ``OperationsAdminConfig``."""

    site_header = "TokenHub operations"
    site_title = "TokenHub"
    index_title = "Operations"

    def get_urls(self) -> list[URLResolver | URLPattern]:
        return [path("find/", self.admin_view(self.find), name="find"), *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """How the platform is, then what can be changed."""
        from tokenhub.operations import overview

        money = request.user.has_perm("billing.view_transfer")
        found = {"overview": overview.now(with_money=money)}
        return super().index(request, {**found, **(extra_context or {})})

    def find(self, request: HttpRequest) -> HttpResponse:
        """Customers by whatever is known of them. By POST: what is pasted must not be in an address."""
        from tokenhub.operations import find

        if not request.user.has_perm("accounts.view_organization"):
            raise PermissionDenied
        query = request.POST.get("q", "").replace("\0", "").strip()[:200]
        context = {
            **self.each_context(request),
            "title": "Find a customer",
            "hits": find.organizations(query) if query else [],
            # A whole key is not shown again.
            "query": "" if find.is_secret(query) else query,
            "asked": bool(query),
        }
        return render(request, "admin/find.html", context)

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not self._lacks_factor(request)

    @method_decorator(secure_admin_login)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Operators sign in as everyone does, with the same limits; where they must, with a second factor."""
        if super().has_permission(request) and self._lacks_factor(request):
            messages.warning(request, NEEDS_FACTOR)
            return redirect("mfa_index")
        return super().login(request, extra_context)

    def _lacks_factor(self, request: HttpRequest) -> bool:
        return settings.ADMIN_REQUIRES_MFA and not is_mfa_enabled(request.user)
