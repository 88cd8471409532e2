"""Which plan an organization is on, what that comes to today, and how it changes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.models import Organization
from billing.errors import PlanConflict
from billing.models import Agreement, Plan, PlanVersion, Subscription


@dataclass(frozen=True, slots=True)
class Terms:
    """What is in force for an organization at an instant, and why.

    ``fee_source`` is ``plan:<version>`` or ``agreement:<id>``, as it stands in each usage record.
    ``until`` is the next instant at which something is known to change.
    """

    version: PlanVersion
    agreement: Agreement | None
    rpm: int
    concurrency: int
    fee_bps: int
    fee_source: str
    until: datetime | None

    @property
    def plan(self) -> Plan:
        """The plan itself."""
        return self.version.plan


_TERMS = """
SELECT v.*, p.name AS plan_name, p.rank AS plan_rank, t.agreement_id, t.rpm AS held_rpm,
       t.concurrency AS held_concurrency, t.fee_bps AS held_fee_bps, t.fee_source AS held_fee_source,
       t.until AS held_until
  FROM billing_terms_at(%s, %s) t
  JOIN billing_planversion v ON v.id = t.version_id
  JOIN billing_plan p ON p.slug = v.plan_id
"""


_ON_PLANS = """
SELECT o.id
  FROM accounts_organization o
 CROSS JOIN LATERAL billing_terms_at(o.id, clock_timestamp()) t
  JOIN billing_planversion v ON v.id = t.version_id
 WHERE o.status = 'active' AND v.plan_id = ANY(%s)
"""


def terms_of(organization: Organization, at: datetime | None = None) -> Terms:
    """The terms in force now, or at an instant; the gateway asks the same function."""
    asked = [organization.id.removeprefix("org_"), at or timezone.now()]
    # The row has more than a version's columns: the plan's, and what is held.
    version: Any = PlanVersion.objects.raw(_TERMS, asked)[0]
    version.plan = Plan(version.plan_id, version.plan_name, version.plan_rank)
    agreement_id = version.agreement_id
    agreement: Agreement | None = (
        None
        if agreement_id is None
        else Agreement.objects.for_organization(organization).get(pk=agreement_id)
    )
    return Terms(
        version, agreement, version.held_rpm, version.held_concurrency, version.held_fee_bps,
        version.held_fee_source, version.held_until,
    )  # fmt: skip


def active_on(plans: Iterable[str]) -> QuerySet[Organization]:
    """The active organizations that are on one of these plans now."""
    with connection.cursor() as cursor:
        cursor.execute(_ON_PLANS, [list(plans)])
        ids = [f"org_{row[0].hex}" for row in cursor.fetchall()]
    return Organization.objects.filter(pk__in=ids)


def current_versions(at: datetime | None = None) -> list[PlanVersion]:
    """What each plan offers now, or at an instant, from the lowest to the highest."""
    return list(
        PlanVersion.objects.select_related("plan")
        .filter(effective_from__lte=at or timezone.now())
        .order_by("plan__rank", "-effective_from")
        .distinct("plan__rank")
    )


def subscription_of(organization: Organization, at: datetime | None = None) -> Subscription | None:
    """The subscription in force, if the organization is not on the free plan."""
    at = at or timezone.now()
    found: Subscription | None = (
        Subscription.objects.for_organization(organization)
        .filter(starts_at__lte=at)
        .exclude(ends_at__lte=at)
        .select_related("plan")
        .first()
    )
    return found


def next_subscription(
    organization: Organization, at: datetime | None = None
) -> Subscription | None:
    """The first subscription that is set to begin after an instant."""
    found: Subscription | None = (
        Subscription.objects.for_organization(organization)
        .filter(starts_at__gt=at or timezone.now())
        .select_related("plan")
        .order_by("starts_at")
        .first()
    )
    return found


def explain_fee(organization: Organization, source: str) -> str:
    """Where a usage record's fee rate comes from, in words; empty for what is not on record."""
    kind, _, number = source.partition(":")
    if kind == "plan":
        version = PlanVersion.objects.select_related("plan").filter(pk=number).first()
        if version is not None:
            return f"the {version.plan.name} plan as of {version.effective_from:%d %b %Y}"
    if kind == "agreement":
        agreement = Agreement.objects.for_organization(organization).filter(pk=number).first()
        if agreement is not None:
            return f"your agreement {agreement.reference} of {agreement.effective_from:%d %b %Y}"
    return ""


@transaction.atomic
def put_on_plan(
    organization: Organization,
    plan: str,
    *,
    actor: Actor,
    source: str = Subscription.Source.OPERATOR,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    stripe_id: str | None = None,
    note: str = "",
) -> Subscription | None:
    """Move an organization to a plan from now on, ending the subscription it has.

    Returns the new subscription; none for the free plan, which is being on no other. Raises
    ``PlanConflict`` where another one is already set for that time.
    """
    now = timezone.now()
    starts_at = starts_at or now
    before = terms_of(organization, now).plan.slug
    try:
        with transaction.atomic():
            Subscription.objects.for_organization(organization).filter(
                starts_at__lte=starts_at
            ).exclude(ends_at__lte=starts_at).update(ends_at=starts_at)
            made: Subscription | None = None
            if plan != "starter":
                made = Subscription.objects.create(
                    organization=organization, plan_id=plan, source=source, starts_at=starts_at,
                    ends_at=ends_at, stripe_id=stripe_id, note=note,
                )  # fmt: skip
    except IntegrityError as error:
        raise PlanConflict(
            "Another plan is already set for that time. End that one first."
        ) from error
    record(
        organization, actor, "plan.changed", plan,
        before={"plan": before},
        after={"plan": plan, "from": starts_at.isoformat(), "source": source},
    )  # fmt: skip
    return made


def is_taken(
    organization: Organization, start: datetime, end: datetime | None, except_for: int | None
) -> bool:
    """Whether another agreement is in force for an organization somewhere in a time."""
    others = Agreement.objects.for_organization(organization).exclude(pk=except_for)
    others = others.exclude(effective_until__lte=start)
    if end is not None:
        others = others.exclude(effective_from__gte=end)
    return bool(others.exists())
