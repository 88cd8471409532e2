"""Contact Us: a form that needs nothing but HTML, and what comes after it."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from accounts.access import LAST_ORGANIZATION
from accounts.models import Organization, User
from tokenhub.web.contact import TooMany, is_of_a_person, stamp, submit
from tokenhub.web.models import ContactRequest


class ContactForm(forms.Form):
    """What a visitor writes. ``website`` is for machines that fill in everything; ``shown`` says since when."""

    topic = forms.ChoiceField(choices=ContactRequest.Topic, label="Topic")
    name = forms.CharField(
        max_length=120, label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    email = forms.EmailField(
        max_length=254, label="Email", widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    company = forms.CharField(
        max_length=120, required=False, label="Company (optional)",
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )  # fmt: skip
    message = forms.CharField(
        max_length=5_000, label="Message", widget=forms.Textarea(attrs={"rows": 7})
    )
    website = forms.CharField(
        required=False, widget=forms.TextInput(attrs={"tabindex": "-1", "autocomplete": "off"})
    )
    shown = forms.CharField(widget=forms.HiddenInput)

    def clean_website(self) -> str:
        """Whoever fills it in does not see the page."""
        if self.cleaned_data["website"]:
            raise forms.ValidationError("Leave this field empty.")
        return ""

    def clean_shown(self) -> str:
        """Filled in by a person, and not long ago."""
        shown: str = self.cleaned_data["shown"]
        if not is_of_a_person(shown):
            raise forms.ValidationError("Send the form once more.")
        return shown


@never_cache
def contact(request: HttpRequest) -> HttpResponse:
    """The form. Who is signed in need not say who they are."""
    user = request.user if isinstance(request.user, User) else None
    organization = _organization(request, user)
    form = ContactForm(request.POST or None, initial=_initial(request, user, organization))
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            given = form.cleaned_data
            try:
                made = submit(
                    topic=given["topic"], name=given["name"], email=given["email"], company=given["company"],
                    message=given["message"], organization=organization,
                    ip_address=request.META.get("REMOTE_ADDR"),
                )  # fmt: skip
            except TooMany:
                status = 429
                form.add_error(None, "That is more than we can read in an hour. Try again later.")
            else:
                return redirect("contact_sent", made.reference)
    # A form that came too fast is shown again with a new stamp: a person's second try goes through.
    context = {"form": form, "stamp": stamp(), "retry": bool(form.errors.get("shown"))}
    return render(request, "web/contact.html", context, status=status)


def contact_sent(request: HttpRequest, reference: str) -> HttpResponse:
    """Thanks, with the reference; says nothing about whether there is such a message."""
    return render(request, "web/contact_sent.html", {"reference": reference[:12]})


def _organization(request: HttpRequest, user: User | None) -> Organization | None:
    if user is None:
        return None
    mine = Organization.objects.open_to(user)
    return mine.filter(slug=request.session.get(LAST_ORGANIZATION, "")).first() or mine.first()


def _initial(
    request: HttpRequest, user: User | None, organization: Organization | None
) -> dict[str, Any]:
    topic = request.GET.get("topic", "")
    return {
        "topic": topic if topic in ContactRequest.Topic.values else ContactRequest.Topic.SALES,
        "name": user.name if user else "",
        "email": user.email if user else "",
        "company": organization.name if organization else "",
    }
