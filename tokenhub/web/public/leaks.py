"""A found key: paste it, and it is refused from then on. The answer is the same whether or not there was such a key."""

from django import forms
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from billing import alerts
from billing.models import Alert
from keys import leaks
from tokenhub.web.doors import may_knock, too_often

MOST, WITHIN_S = 20, 3_600


class LeakForm(forms.Form):
    """The key that was found. It is never shown again, not even where the form is wrong."""

    key = forms.CharField(
        max_length=200,
        label="The key",
        help_text="It begins with thk_ or thm_ and has 53 characters.",
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


@sensitive_post_parameters("key")
@never_cache
def leaked_key(request: HttpRequest) -> HttpResponse:
    """The form, and what has happened then."""
    form = LeakForm(request.POST or None)
    if request.method != "POST":
        return render(request, "web/leaked_key.html", {"form": form})
    address = request.META.get("REMOTE_ADDR")
    if not may_knock("leaked-key", str(address), most=MOST, within_s=WITHIN_S):
        return too_often(request, WITHIN_S)
    if not form.is_valid():
        return render(request, "web/leaked_key.html", {"form": form}, status=422)
    _report(form.cleaned_data["key"], address)
    return render(request, "web/leaked_key.html", {"form": LeakForm(), "done": True})


@transaction.atomic
def _report(secret: str, address: str | None) -> None:
    leak = leaks.report(secret, ip_address=address)
    if leak is not None:
        # By a job: the page takes as long for a key that nobody has.
        alerts.tell(
            leak.key.organization,
            Alert.Kind.KEY_LEAKED,
            threshold=0,
            window=leak.label,
            message=f"Somebody found the key {leak.label} (“{leak.key.name}”) where it should not be and reported it."
            " It is refused from now on. Look at its requests, and make another.",
        )
