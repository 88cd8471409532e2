"""What one was told, and what one wants to be told of."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.notifications import ALWAYS_MAILED, Category, Channels, choices_of, choose
from tokenhub.web import notifications


@never_cache
@login_required
def notices(request: HttpRequest) -> HttpResponse:
    """Alerts and announcements of all one's organizations, the newest first."""
    assert isinstance(request.user, User)
    found = notifications.notices_of(request.user)
    only_unread = request.GET.get("show") == "unread"
    context = {
        "notices": [each for each in found if not (only_unread and each.is_read)],
        "unread": sum(not each.is_read for each in found),
        "only_unread": only_unread,
    }
    return render(request, "me/notices.html", context)


@require_POST
@login_required
def notices_read(request: HttpRequest) -> HttpResponse:
    """One was read, or all; they stay in the list."""
    assert isinstance(request.user, User)
    notifications.read(request.user, request.POST.get("key", ""))
    return redirect("notifications")


@never_cache
@login_required
def choices(request: HttpRequest) -> HttpResponse:
    """The matrix of category × console and mail."""
    assert isinstance(request.user, User)
    if request.method == "POST":
        given = request.POST
        choose(
            request.user,
            {
                category: Channels(f"{category}-in_app" in given, f"{category}-email" in given)
                for category in Category.values
            },
        )
        messages.success(request, "Saved.")
        return redirect("me_notifications")
    rows = [
        (category, Category(category).label, channels, category in ALWAYS_MAILED)
        for category, channels in choices_of(request.user).items()
    ]
    return render(request, "me/notifications.html", {"rows": rows})
