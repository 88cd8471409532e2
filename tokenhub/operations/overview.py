"""How the platform is now, for operators: what waits for them, the providers, the money. Few queries, all bounded."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.urls import reverse
from django.utils import timezone

from accounts.webhooks.models import Delivery, Endpoint
from billing.models import (
    Adjustment,
    Dispute,
    Lease,
    Reconciliation,
    StripeEvent,
    StripeInstruction,
    TopUp,
    UsageDay,
)
from billing.models.media import MediaTask
from routing.models import CredentialAlarm, HealthSample, OfferingHealth, Provider
from tokenhub.operations.runs import Job, jobs
from tokenhub.web.models import ContactRequest

# How long something may be under way before somebody should look.
STUCK_TOP_UP = timedelta(hours=26)  # longer than a payment page is open
STUCK_LEASE = timedelta(minutes=2)
STUCK_DELIVERY = timedelta(minutes=5)
HOUR = timedelta(hours=1)
COUNT_TO = 1_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits for an operator: how many, what, and where to see them."""

    count: int
    what: str
    url: str
    urgent: bool

    @property
    def more(self) -> bool:
        """Whether there are more than were counted."""
        return self.count >= COUNT_TO


@dataclass(frozen=True, slots=True)
class ProviderNow:
    """A provider's offerings by their health, and how its calls of the last hour ended."""

    slug: str
    name: str
    healthy: int
    degraded: int
    down: int
    calls: int
    failures: int

    @property
    def state(self) -> str:
        """The worst of it."""
        return "down" if self.down else "degraded" if self.degraded else "healthy"


@dataclass(frozen=True, slots=True)
class Money:
    """What was charged in a time. Of it the service fee is ours; what providers charge us is not known here."""

    label: str
    requests: int
    model_fee_nano: int
    service_fee_nano: int

    @property
    def total_nano(self) -> int:
        """What customers paid."""
        return self.model_fee_nano + self.service_fee_nano


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the first page of the admin."""

    waiting: list[Waiting]
    providers: list[ProviderNow]
    jobs: list[Job]
    money: list[Money]


def now(*, with_money: bool) -> Overview:
    """The platform at this moment."""
    found = jobs()
    return Overview(
        waiting=waiting(found),
        providers=_providers(),
        jobs=found,
        money=_money() if with_money else [],
    )


def waiting(found_jobs: list[Job] | None = None) -> list[Waiting]:
    """What waits for an operator, the urgent first."""
    found_jobs = jobs() if found_jobs is None else found_jobs
    troubled = [job for job in found_jobs if job.state in ("failed", "late", "killed")]
    at = timezone.now()
    ways: list[tuple[QuerySet[Any], str, str, str, bool]] = [
        (
            OfferingHealth.objects.filter(status=OfferingHealth.Status.DOWN, offering__enabled=True),
            "offerings are down", "routing_offeringhealth", "status__exact=down", True,
        ),
        (
            CredentialAlarm.objects.filter(cleared_at=None),
            "credentials are refused by their providers", "routing_credentialalarm", "", True,
        ),
        (
            TopUp.objects.filter(status=TopUp.Status.PENDING, created_at__lt=at - STUCK_TOP_UP),
            "top-ups are undecided for more than a day", "billing_topup", "status__exact=pending", True,
        ),
        (
            MediaTask.objects.filter(status__in=MediaTask.OPEN, deadline_at__lt=at - STUCK_LEASE),
            "video tasks are past their deadline", "billing_mediatask", "status__in=pending,running", True,
        ),
        (
            StripeEvent.objects.filter(status=StripeEvent.Status.FAILED),
            "events of Stripe failed; replay them", "billing_stripeevent", "status__exact=failed", True,
        ),
        (
            StripeInstruction.objects.filter(
                Q(status=StripeInstruction.Status.REFUSED)
                | Q(status=StripeInstruction.Status.PENDING, created_at__lt=at - STUCK_DELIVERY)
            ),
            "instructions to Stripe are refused or overdue", "billing_stripeinstruction",
            "status__in=pending,refused", True,
        ),
        (
            StripeInstruction.objects.filter(refunded_nano__gt=0, done_at__gt=at - timedelta(days=1)),
            "plans were paid for and sent back today", "billing_stripeinstruction",
            "kind__exact=end_subscription", False,
        ),
        (
            Dispute.objects.filter(status=Dispute.Status.OPEN),
            "disputes are open", "billing_dispute", "status__exact=open", False,
        ),
        (
            Adjustment.objects.filter(status=Adjustment.Status.PENDING),
            "adjustments wait for a second person", "billing_adjustment", "status__exact=pending", False,
        ),
        (
            ContactRequest.objects.filter(status=ContactRequest.Status.NEW),
            "messages of visitors are new", "web_contactrequest", "status__exact=new", False,
        ),
        (
            ContactRequest.objects.filter(status=ContactRequest.Status.OPEN),
            "messages of visitors are in work", "web_contactrequest", "status__exact=open", False,
        ),
        (
            Delivery.objects.filter(status="pending", next_try_at__lt=at - STUCK_DELIVERY, endpoint__enabled=True),
            "webhook deliveries are overdue", "webhooks_delivery", "status__exact=pending", True,
        ),
        (
            Delivery.objects.filter(status="failed", finished_at__gt=at - timedelta(days=1)),
            "webhook deliveries were given up today", "webhooks_delivery", "status__exact=failed", False,
        ),
        (
            Endpoint.objects.exclude(disabled_reason=""),
            "webhooks were switched off by themselves", "webhooks_endpoint", "enabled__exact=0", False,
        ),
        (
            Lease.objects.filter(closed_at=None, expires_at__lt=at - STUCK_LEASE),
            "leases are overdue; are the workers running?", "billing_lease", "", True,
        ),
    ]  # fmt: skip
    found = [
        Waiting(count, what, _list(model, query), urgent)
        for rows, what, model, query, urgent in ways
        if (count := rows.order_by()[:COUNT_TO].count())
    ]
    last = Reconciliation.objects.order_by("-started_at").first()
    if last is not None and last.differences:
        words = "differences with Stripe's books in the last comparison"
        found.append(Waiting(len(last.differences), words, _list("billing_reconciliation"), True))
    if troubled:
        words = "background jobs failed or are late"
        found.append(Waiting(len(troubled), words, _list("operations_taskrun"), True))
    return sorted(found, key=lambda each: not each.urgent)


def _providers() -> list[ProviderNow]:
    def having(status: str) -> Count:
        return Count(
            "endpoints__offerings",
            filter=Q(
                endpoints__offerings__enabled=True, endpoints__offerings__health__status=status
            ),
        )

    calls = {
        row["offering__endpoint__provider"]: row
        for row in HealthSample.objects.filter(
            at__gt=timezone.now() - HOUR, source=HealthSample.Source.GATEWAY
        )
        .order_by()
        .values("offering__endpoint__provider")
        .annotate(successes=Sum("successes"), failures=Sum("failures"))
    }
    nothing = {"successes": 0, "failures": 0}
    return [
        ProviderNow(
            provider.slug, provider.name, provider.healthy, provider.degraded, provider.down,
            row["successes"] + row["failures"], row["failures"],
        )
        for provider in Provider.objects.filter(enabled=True)
        .annotate(healthy=having("healthy"), degraded=having("degraded"), down=having("down"))
        .order_by("name")
        for row in [calls.get(provider.pk, nothing)]
    ]  # fmt: skip


def _money() -> list[Money]:
    today = timezone.now().date()
    spans = [
        ("Today", today),
        ("7 days", today - timedelta(days=6)),
        ("30 days", today - timedelta(days=29)),
    ]
    sums = UsageDay.objects.filter(day__gte=spans[-1][1]).aggregate(
        **{
            f"{name}_{place}": Sum(field, filter=Q(day__gte=since), default=0)
            for place, (_, since) in enumerate(spans)
            for name, field in (
                ("requests", "billed"), ("model", "model_fee_nano"), ("service", "service_fee_nano"),
            )
        }
    )  # fmt: skip
    return [
        Money(label, int(sums[f"requests_{place}"]), int(sums[f"model_{place}"]), int(sums[f"service_{place}"]))
        for place, (label, _) in enumerate(spans)
    ]  # fmt: skip


def _list(model: str, query: str = "") -> str:
    return reverse(f"admin:{model}_changelist") + (f"?{query}" if query else "")
