"""Texts: questions and answers, legal pages, and what machines read about the site."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control

from billing.plans import current_versions
from routing.models import Model, Provider
from tokenhub.web.markdown import rendered
from tokenhub.web.models import Announcement, LegalText

PAGES = (
    "home", "pricing", "models", "providers", "docs", "status", "announcements", "faq", "contact",
    "security",
)  # fmt: skip
HIDDEN = ("/o/", "/admin/", "/accounts/", "/invite/", "/v1/")


def favicon(request: HttpRequest) -> HttpResponse:
    """For what asks by the old name instead of reading the page."""
    response = redirect(static("favicon.svg"))
    patch_cache_control(response, public=True, max_age=86_400)
    return response


def faq(request: HttpRequest) -> HttpResponse:
    """The rules of the product in customers' words."""
    context = {
        "versions": current_versions(),
        "refund_days": settings.REFUND_WITHIN_DAYS,
        "minimum_usd": settings.TOP_UP_MIN_USD,
    }
    return render(request, "web/faq.html", context)


def legal(request: HttpRequest, page: str) -> HttpResponse:
    """The version in force of a legal page, and which there were."""
    if page not in LegalText.Page.values:
        raise Http404("No such page.")
    versions = list(LegalText.objects.filter(page=page, effective_from__lte=timezone.now().date()))
    if not versions:
        raise Http404("Not written yet.")
    context = {
        "text": versions[0],
        "body": rendered(versions[0].body),
        "earlier": versions[1:],
        "pages": LegalText.Page.choices,
    }
    return render(request, "web/legal.html", context)


def security(request: HttpRequest) -> HttpResponse:
    """How data and money are protected, and where to report a hole."""
    return render(request, "web/security.html", {"contact_email": settings.CONTACT_EMAIL})


def security_txt(request: HttpRequest) -> HttpResponse:
    """Where to report a hole, for machines (RFC 9116)."""
    expires = timezone.now().replace(month=12, day=31, hour=0, minute=0, second=0, microsecond=0)
    expires = expires.replace(year=expires.year + 1)
    text = (
        f"Contact: mailto:{settings.CONTACT_EMAIL}\nExpires: {expires:%Y-%m-%dT%H:%M:%SZ}\n"
        f"Policy: {settings.PUBLIC_URL}{reverse('security')}\nPreferred-Languages: en\n"
    )
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


def robots(request: HttpRequest) -> HttpResponse:
    """What crawlers may read."""
    hidden = "".join(f"Disallow: {path}\n" for path in HIDDEN)
    text = f"User-agent: *\n{hidden}Sitemap: {settings.PUBLIC_URL}/sitemap.xml\n"
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


def sitemap(request: HttpRequest) -> HttpResponse:
    """Every public page."""
    paths = [reverse(name) for name in PAGES]
    paths += [reverse("legal", args=[page]) for page in LegalText.Page.values]
    paths += [
        reverse("model", args=[slug]) for slug in Model.objects.values_list("slug", flat=True)
    ]
    paths += [
        reverse("provider", args=[slug])
        for slug in Provider.objects.filter(enabled=True).values_list("slug", flat=True)
    ]
    paths += [
        reverse("announcement", args=[slug])
        for slug in Announcement.objects.published().values_list("slug", flat=True)[:1_000]
    ]
    context = {"urls": [settings.PUBLIC_URL + path for path in paths]}
    return render(request, "web/sitemap.xml", context, content_type="application/xml")
