"""How each background job last ran."""

from django.db import models
from django.db.models import Q


class TaskRun(models.Model):
    """The last run of a job, and how often it ran; one row for each job."""

    class Outcome(models.TextChoices):
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"

    task = models.CharField(max_length=120, primary_key=True)
    run_id = models.CharField(max_length=64, help_text="Of the last run; its log lines carry it.")
    outcome = models.CharField(max_length=10, choices=Outcome)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    duration_ms = models.PositiveIntegerField(null=True)
    result = models.CharField(max_length=200, blank=True)
    error = models.CharField(max_length=500, blank=True, help_text="Of the last run that failed.")
    failed_at = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)
    runs = models.PositiveBigIntegerField(default=0)
    failures = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["task"]
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=["running", "succeeded", "failed"]),
                name="task_run_outcome_known",
            )
        ]

    def __str__(self) -> str:
        return self.task
