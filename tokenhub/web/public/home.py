"""The front page, and what development machines show besides."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from billing.plans import current_versions
from routing.listing import listing
from tokenhub.web import mailbox as kept_mail
from tokenhub.web.pricelist import EXAMPLE_FEE_BPS, example_charge
from tokenhub.web.public.facts import facts, most_offered

SHOWN_MAIL = 30


def home(request: HttpRequest) -> HttpResponse:
    """The front page: what it is, how it does, what it costs."""
    listed = listing()
    context = {
        "facts": facts(listed),
        "most_offered": most_offered(listed),
        "versions": current_versions(),
        "charge": example_charge(),
        "fee_bps": EXAMPLE_FEE_BPS,
    }
    return render(request, "web/home.html", context)


def mailbox(request: HttpRequest) -> HttpResponse:
    """Mail that a development machine did not send."""
    if not settings.DEBUG:
        raise Http404
    return render(request, "web/mailbox.html", {"messages_kept": kept_mail.messages()[:SHOWN_MAIL]})


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403, naming the roles that may."""
    frame = "console.html" if hasattr(request, "organization") else "base.html"
    return render(request, "403.html", {"roles": str(exception), "frame": frame}, status=403)
