"""The development mailbox: mail that goes nowhere, kept in a folder and shown at ``/dev/mailbox/``."""

import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

KEEP = 200


def folder() -> Path:
    """Where messages are kept."""
    return Path(settings.DATA_DIR) / "mailbox"


class MailboxBackend(BaseEmailBackend):
    """Prints each message and keeps it for the mailbox page."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Keep messages; returns how many."""
        folder().mkdir(parents=True, exist_ok=True)
        for message in email_messages:
            recipients = [parseaddr(address)[1] for address in message.to]
            kept = {
                "to": recipients,
                "subject": message.subject,
                "body": message.body,
                "sent_at": timezone.now().isoformat(),
            }
            (folder() / f"{time.time_ns()}.json").write_text(json.dumps(kept))
            print(_spelled(recipients, message), file=sys.stderr, flush=True)  # noqa: T201
        for old in sorted(folder().glob("*.json"))[:-KEEP]:
            old.unlink(missing_ok=True)
        return len(email_messages)


def _spelled(recipients: Sequence[str], message: EmailMessage) -> str:
    lines = [f"mail to {', '.join(recipients)}: {message.subject}", *str(message.body).splitlines()]
    return "\n  | ".join(lines)


def messages() -> list[dict[str, Any]]:
    """What was kept, the newest first."""
    found = [json.loads(path.read_text()) for path in sorted(folder().glob("*.json"), reverse=True)]
    return [{**mail, "sent_at": datetime.fromisoformat(mail["sent_at"])} for mail in found]
