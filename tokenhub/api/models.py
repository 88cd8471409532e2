"""What the REST API remembers: the answers of requests that carried an ``Idempotency-Key``."""

from django.db import models
from django.utils import timezone

from accounts.models import Organization


class Remembered(models.Model):
    """The answer to a POST, written in the transaction of its effect: both are there, or neither.

    ``body`` is empty where the answer had a secret in it; ``secret_of`` then names the key.
    """

    organization = models.ForeignKey(
        Organization, null=True, on_delete=models.CASCADE, related_name="+"
    )
    credential = models.CharField(max_length=80, help_text="The key, the member or the address.")
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=300)
    key = models.CharField(max_length=255)
    request_digest = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(blank=True)
    secret_of = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "remembered answers"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "credential", "method", "path", "key"],
                name="remembered_once",
                nulls_distinct=False,
            )
        ]
        indexes = [models.Index(fields=["created_at"], name="remembered_by_time")]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.key}"
