"""Forms of people and organizations."""

from typing import Any

from django import forms
from django.http import HttpRequest

from accounts.models import User
from accounts.roles import Role
from accounts.services import create_organization


class SignupForm(forms.Form):
    """What sign-up asks beyond address and password. django-allauth calls ``signup``."""

    organization = forms.CharField(
        max_length=120,
        required=False,
        label="Company or project",
        help_text="Leave it empty if you were invited to one.",
        widget=forms.TextInput(attrs={"autocomplete": "organization", "placeholder": ""}),
    )

    def signup(self, request: HttpRequest, user: User) -> None:
        """The new person's own organization, in the transaction of the sign-up; who was invited needs none."""
        if not self.cleaned_data["organization"].strip():
            return
        create_organization(
            name=self.cleaned_data["organization"],
            owner=user,
            ip_address=request.META.get("REMOTE_ADDR"),
        )


class OrganizationForm(forms.Form):
    """Another organization."""

    name = forms.CharField(max_length=120, label="Name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs["autocomplete"] = "organization"


class InvitationForm(forms.Form):
    """Who is invited, as what."""

    email = forms.EmailField(max_length=254, label="Email")
    role = forms.ChoiceField(choices=Role, initial=Role.DEVELOPER, label="Role")


class RoleForm(forms.Form):
    """A member's role."""

    role = forms.ChoiceField(choices=Role, label="Role")


class CloseForm(forms.Form):
    """The organization's address, typed, so that it is not closed by accident."""

    slug = forms.CharField(max_length=60, label="Type the organization's address to confirm")
    give_up = forms.BooleanField(required=False, label="Give up what is left of the balance")


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """How a person is called."""

    class Meta:
        model = User
        fields = ["name"]
        help_texts = {
            "name": "Members of your organizations see it; without one, they see your address."
        }


class AppearanceForm(forms.ModelForm):  # type: ignore[type-arg]
    """How the site looks and listens to somebody."""

    class Meta:
        model = User
        fields = ["theme", "keyboard_shortcuts"]
        labels = {"keyboard_shortcuts": "Keyboard shortcuts"}
        widgets = {"theme": forms.RadioSelect}


class DeleteForm(forms.Form):
    """The account's own address, typed, so that it is not deleted by accident."""

    email = forms.CharField(max_length=254, label="Type your address to confirm")

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._email = email
        self.fields["email"].widget.attrs["autocomplete"] = "off"

    def clean_email(self) -> str:
        """It must be the account's."""
        given = str(self.cleaned_data["email"])
        if given.strip().lower() != self._email.lower():
            raise forms.ValidationError("This is not the address of your account.")
        return given
