"""How django-allauth makes our users, known by their address alone, when it asks again, and how it keeps secrets."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.http import HttpRequest

from accounts.encryption import cipher, is_token
from accounts.models import User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """allauth's own behaviour, but for user names, which we do not have, and one rule for asking again."""

    def populate_username(self, request: HttpRequest, user: User) -> None:
        """There is none to fill in."""

    def is_reauthentication_required(self, *, app: str, **_: Any) -> bool:
        """As on our own pages: who signed in a short while ago has just proved who they are."""
        # Imported late: the user model is not there yet when allauth loads this.
        from accounts.access import signed_in_recently

        return not signed_in_recently(self.request, self.request.user)


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """allauth's own behaviour, but that the seeds of second factors are encrypted at rest."""

    def encrypt(self, text: str) -> str:
        return cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """A seed of before they were encrypted is read as it is, until ``rotate_encryption`` encrypts it."""
        if not is_token(encrypted_text):
            return encrypted_text
        return cipher().decrypt(encrypted_text.encode()).decode()
