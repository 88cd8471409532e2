"""Idempotency keys of ``/v1``: which request has a key, so that the same request is charged once."""

from django.db import models
from django.utils import timezone

from accounts.ids import PrefixedIdField
from accounts.models import TenantModel


class Claim(TenantModel):
    """An ``Idempotency-Key`` in the hands of one request: nobody else with that key is served or charged.

    Neither the key nor what was asked or answered is here, only digests. ``finished_at`` is set once the
    request was answered and charged; the claim of one that failed is deleted. What decides about them is
    in ``billing/sql/0018``.
    """

    request = PrefixedIdField("req", db_column="request_id")
    key = models.BinaryField(help_text="SHA-256 of the key.")
    content = models.BinaryField(help_text="Keyed digest of path and body.")
    holder = models.CharField(
        max_length=80, help_text="The database session of the gateway that serves it."
    )
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "key"], name="claim_of_a_key"),
        ]
        indexes = [models.Index(fields=["created_at"], name="claim_by_age")]

    def __str__(self) -> str:
        return f"claim of {self.request}"
