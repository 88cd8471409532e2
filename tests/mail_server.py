"""A mail server with moods: it refuses addresses, or is away."""

from collections.abc import Sequence
from smtplib import SMTPRecipientsRefused
from typing import ClassVar

from django.core.mail import EmailMessage
from django.core.mail.backends.locmem import EmailBackend


class MoodyBackend(EmailBackend):
    """Keeps what it takes in ``mail.outbox``, as the tests' usual one does."""

    refuses: ClassVar[set[str]] = set()
    is_away: ClassVar[bool] = False
    asked: ClassVar[int] = 0

    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        type(self).asked += 1
        if self.is_away:
            raise ConnectionRefusedError("the mail server is away")
        for message in messages:
            if wrong := self.refuses & set(message.to):
                raise SMTPRecipientsRefused(dict.fromkeys(wrong, (550, b"no such user")))
        return super().send_messages(messages)  # type: ignore[no-any-return]
