"""Who one is, how one signs in, how the site looks, what is known of one, and the end of it."""

import json

from allauth.account.models import EmailAddress
from allauth.core.exceptions import ReauthenticationRequired
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.access import signed_in_recently
from accounts.errors import NotAllowed
from accounts.forms import AppearanceForm, DeleteForm, ProfileForm
from accounts.models import User
from accounts.personal import delete_account, export, left_without_owner


@login_required
def index(_request: HttpRequest) -> HttpResponse:
    """To the first of them."""
    return redirect("me_profile")


@never_cache
@login_required
def profile(request: HttpRequest) -> HttpResponse:
    """How one is called, and the addresses one reads."""
    assert isinstance(request.user, User)
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("me_profile")
    addresses = EmailAddress.objects.filter(user=request.user).order_by("-primary", "email")
    status = 422 if form.is_bound else 200
    context = {"form": form, "addresses": addresses}
    return render(request, "me/profile.html", context, status=status)


@never_cache
@login_required
def security(request: HttpRequest) -> HttpResponse:
    """How one signs in, and where one is signed in: each with the page to change it."""
    assert isinstance(request.user, User)
    kinds = [each.type for each in Authenticator.objects.filter(user=request.user)]
    context = {
        "has_password": request.user.has_usable_password(),
        "passkeys": kinds.count(Authenticator.Type.WEBAUTHN),
        "has_totp": Authenticator.Type.TOTP in kinds,
        "has_recovery_codes": Authenticator.Type.RECOVERY_CODES in kinds,
        "sessions": UserSession.objects.filter(user=request.user).count(),
        "connected": list(SocialAccount.objects.filter(user=request.user)),
        "can_connect": bool(settings.SOCIALACCOUNT_PROVIDERS),
    }
    return render(request, "me/security.html", context)


@login_required
def sessions(_request: HttpRequest) -> HttpResponse:
    """Where one is signed in."""
    return redirect("usersessions_list")


@require_POST
@login_required
def session_end(request: HttpRequest, session_id: int) -> HttpResponse:
    """Sign one other browser of one's own out; this one has its own button for that."""
    others = UserSession.objects.filter(user=request.user).exclude(
        session_key=request.session.session_key
    )
    get_adapter().end_sessions([get_object_or_404(others, pk=session_id)])
    messages.success(request, "That browser is signed out.")
    return redirect("usersessions_list")


@never_cache
@login_required
def appearance(request: HttpRequest) -> HttpResponse:
    """Light, dark or as the system has it; keyboard shortcuts on or off."""
    assert isinstance(request.user, User)
    form = AppearanceForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved, for every browser you sign in with.")
        return redirect("me_appearance")
    status = 422 if form.is_bound else 200
    return render(request, "me/appearance.html", {"form": form}, status=status)


@never_cache
@login_required
def export_page(request: HttpRequest) -> HttpResponse:
    """What the file has in it, and the way to it."""
    return render(request, "me/export.html")


@never_cache
@login_required
def export_file(request: HttpRequest) -> HttpResponse:
    """Everything that is known of whoever asks, as a file to save."""
    assert isinstance(request.user, User)
    if not signed_in_recently(request, request.user):
        raise ReauthenticationRequired
    text = json.dumps(export(request.user), indent=2, ensure_ascii=False)
    response = HttpResponse(text, content_type="application/json; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="tokenhub-my-data.json"'
    return response


@never_cache
@login_required
def delete(request: HttpRequest) -> HttpResponse:
    """End the account, once its address is typed and no organization needs it."""
    assert isinstance(request.user, User)
    if not signed_in_recently(request, request.user):
        raise ReauthenticationRequired
    form = DeleteForm(request.POST or None, email=request.user.email)
    if request.method == "POST" and form.is_valid():
        try:
            delete_account(request.user, ip_address=request.META.get("REMOTE_ADDR"))
        except NotAllowed as error:
            form.add_error(None, str(error))
        else:
            logout(request)
            messages.success(request, "Your account was deleted.")
            return redirect("home")
    status = 422 if form.is_bound else 200
    context = {"form": form, "alone": left_without_owner(request.user)}
    return render(request, "me/delete.html", context, status=status)
