"""What an organization is told about its money: in the console and by mail, once per threshold and window."""

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.mailing import send_waiting
from accounts.models import Organization
from accounts.notifications import Category, addresses
from accounts.roles import Permission
from accounts.webhooks.events import emit
from billing.models import Alert, AutomaticTopUp, Budget, Dispute, Invoice, TopUp
from billing.money import usd_from_nano

log = structlog.get_logger(__name__)

THRESHOLDS_PERCENT = (50, 80, 100)
_ABOUT_BALANCE = frozenset({Alert.Kind.LOW_BALANCE, Alert.Kind.BUDGET, Alert.Kind.AUTOMATIC_TOP_UP})

# Organizations below their low-balance mark that were not told since money last came in. The mark of
# an organization that never set one is the default. Its window is the ledger entry of the last refill.
_LOW = """
SELECT a.organization_id, a.balance_nano - a.frozen_nano, coalesce(b.low_balance_nano, %(mark)s), r.window_sequence
  FROM billing_account a
  LEFT JOIN billing_budget b ON b.organization_id = a.organization_id
 CROSS JOIN LATERAL (
       SELECT coalesce(max(t.sequence), 0) AS window_sequence FROM billing_transfer t
        WHERE t.organization_id = a.organization_id AND t.kind IN ('top_up', 'credit')) r
 WHERE a.kind = 'wallet' AND a.sequence > 0
   AND (b.id IS NULL OR b.low_balance_nano IS NOT NULL)
   AND a.balance_nano - a.frozen_nano < coalesce(b.low_balance_nano, %(mark)s)
   AND NOT EXISTS (SELECT FROM billing_alert l WHERE l.organization_id = a.organization_id AND l.kind = 'low_balance'
                      AND l."window" = 'refill:' || r.window_sequence)
"""
# What was said and is so no longer: money came in or the mark was lowered, the month or the budget is another, the
# automatic top-up works again or is off. What a refill did not lift above the mark is said anew, in its own window.
_OVER = """
UPDATE billing_alert l SET dismissed_at = %(now)s
  FROM billing_account a
  LEFT JOIN billing_budget b ON b.organization_id = a.organization_id
  LEFT JOIN billing_automatictopup t ON t.organization_id = a.organization_id
 WHERE a.kind = 'wallet' AND a.organization_id = l.organization_id AND l.dismissed_at IS NULL
   AND l.kind IN ('low_balance', 'budget', 'automatic_top_up')
   AND CASE l.kind
       WHEN 'low_balance' THEN (b.id IS NOT NULL AND b.low_balance_nano IS NULL)
            OR a.balance_nano - a.frozen_nano >= coalesce(b.low_balance_nano, %(mark)s)
            OR l."window" <> 'refill:' || (
                SELECT coalesce(max(r.sequence), 0) FROM billing_transfer r
                 WHERE r.organization_id = a.organization_id AND r.kind IN ('top_up', 'credit'))
       WHEN 'budget' THEN b.monthly_nano IS NULL OR l."window" <> %(month)s || ':' || b.monthly_nano
       ELSE t.id IS NULL OR NOT t.enabled
            OR (l."window" LIKE 'cap:%%' AND l."window" <> 'cap:' || %(month)s)
            OR (t.problem = '' AND (t.updated_at > l.created_at OR EXISTS (
                SELECT FROM billing_topup p WHERE p.organization_id = l.organization_id
                   AND p.status = 'succeeded' AND p.settled_at > l.created_at)))
       END
"""
# What organizations with a budget spent this month, as gateways and the budgets page count it: from few rows a day.
_SPENT = """
SELECT b.organization_id, b.monthly_nano, b.monthly_is_hard,
       billing_spent(b.organization_id, b.organization_id, %(since)s, NULL)
  FROM billing_budget b WHERE b.monthly_nano IS NOT NULL
"""


@transaction.atomic
def tell(
    organization: Organization,
    kind: str,
    *,
    threshold: int,
    window: str,
    message: str,
    event: str = "",
    data: dict[str, object] | None = None,
) -> bool:
    """Say something once; ``False`` where it was said before. The mail goes out by a job.

    With an ``event``, the organization's webhooks are told of it too.
    """
    _, is_new = Alert.objects.get_or_create(
        organization=organization,
        kind=kind,
        threshold=threshold,
        window=window[:80],
        defaults={"message": message[:300]},
    )
    if is_new and event:
        emit(organization, event, data or {})
    return is_new


def check() -> int:
    """Find balances that are low and budgets that are reached; returns how many alerts that made.

    What was said before and is so no longer is shown no more.
    """
    now = timezone.now()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    mark = Budget._meta.get_field("low_balance_nano").default
    with connection.cursor() as cursor:
        cursor.execute(_OVER, {"mark": mark, "now": now, "month": f"{month:%Y-%m}"})
        cursor.execute(_LOW, {"mark": mark})
        low = cursor.fetchall()
        cursor.execute(_SPENT, {"since": month.date()})
        spent = cursor.fetchall()
    tenants = Organization.objects.in_bulk(
        [f"org_{row[0].hex}" for row in low] + [f"org_{row[0].hex}" for row in spent]
    )
    made = 0
    for tenant, left_nano, mark_nano, sequence in low:
        made += tell(
            tenants[f"org_{tenant.hex}"],
            Alert.Kind.LOW_BALANCE,
            threshold=mark_nano,
            window=f"refill:{sequence}",
            message=f"The balance is {usd_from_nano(max(left_nano, 0))} USD, below your mark of"
            f" {usd_from_nano(mark_nano)} USD. Calls are refused when it does not cover them.",
            event="balance.low",
            data={"balance": usd_from_nano(left_nano), "threshold": usd_from_nano(mark_nano)},
        )
    for tenant, monthly_nano, is_hard, spent_nano in spent:
        then = (
            "Calls are refused when it no longer covers them, until the month ends."
            if is_hard
            else "Calls go on: this budget only tells you."
        )
        for percent in THRESHOLDS_PERCENT:
            if spent_nano * 100 >= monthly_nano * percent:
                made += tell(
                    tenants[f"org_{tenant.hex}"],
                    Alert.Kind.BUDGET,
                    threshold=percent,
                    window=f"{month:%Y-%m}:{monthly_nano}",
                    message=f"{percent} % of this month's budget of {usd_from_nano(monthly_nano)} USD"
                    f" is spent. {then}",
                    event="budget.exceeded" if percent == 100 else "budget.threshold",
                    data={
                        "budget": {"of": "organization", "period": "month"},
                        "amount": usd_from_nano(monthly_nano),
                        "spent": usd_from_nano(spent_nano),
                        "percent": percent,
                    },
                )
    return made


@transaction.atomic
def automatic_top_up_failed(top_up: TopUp, why: str) -> None:
    """An automatic top-up came to nothing; that those before it did is not said any more."""
    _no_longer(top_up.organization, Alert.Kind.AUTOMATIC_TOP_UP, threshold=0)
    tell(
        top_up.organization,
        Alert.Kind.AUTOMATIC_TOP_UP,
        threshold=0,
        window=top_up.id,
        message=f"The automatic top-up of {usd_from_nano(top_up.amount_nano)} USD failed: {why}"
        " Nothing was charged. Top up by hand, or change the card.",
    )


def automatic_top_up_capped(organization: Organization, spent_nano: int, cap_nano: int) -> None:
    """The monthly limit stops automatic top-ups."""
    tell(
        organization,
        Alert.Kind.AUTOMATIC_TOP_UP,
        threshold=cap_nano,
        window=f"cap:{timezone.now():%Y-%m}",
        message=f"Automatic top-ups came to {usd_from_nano(spent_nano)} USD this month; another would pass"
        f" your limit of {usd_from_nano(cap_nano)} USD. Top up by hand, or raise the limit.",
    )


def disputed(dispute: Dispute) -> None:
    """A payment is contested."""
    waits = AutomaticTopUp.objects.for_organization(dispute.organization).filter(enabled=True)
    tell(
        dispute.organization,
        Alert.Kind.DISPUTE,
        threshold=0,
        window=dispute.id,
        message=f"A payment of {usd_from_nano(dispute.amount_nano)} USD is disputed at the cardholder's bank."
        " That amount is withheld until the bank decides."
        + (" Automatic top-ups wait until then." if waits.exists() else ""),
    )


@transaction.atomic
def dispute_closed(dispute: Dispute) -> None:
    """The bank decided: that it was still to decide is not said any more."""
    _no_longer(dispute.organization, Alert.Kind.DISPUTE, threshold=0, window=dispute.id)
    outcome = (
        "was decided in your favour: the amount is available again."
        if dispute.status == Dispute.Status.WON
        else "was lost: the amount goes back to the cardholder."
    )
    owed_nano = dispute.amount_nano - dispute.collected_nano
    if dispute.status == Dispute.Status.LOST and owed_nano:
        outcome += (
            f" {usd_from_nano(owed_nano)} USD of it will be taken as soon as the balance has it."
        )
    tell(
        dispute.organization,
        Alert.Kind.DISPUTE,
        threshold=1,
        window=dispute.id,
        message=f"The dispute over {usd_from_nano(dispute.amount_nano)} USD {outcome}",
    )


def plan_payment_failed(organization: Organization, invoice: str) -> None:
    """A month of the plan could not be charged."""
    tell(
        organization,
        Alert.Kind.PLAN_PAYMENT,
        threshold=0,
        window=invoice,
        message="The card for your plan was declined. The plan goes on while the bank is asked again;"
        " after that it becomes Starter.",
    )


def plan_paid(organization: Organization) -> None:
    """The plan is paid for, or over: that a month of it could not be charged is not said any more."""
    _no_longer(organization, Alert.Kind.PLAN_PAYMENT)


def plan_sent_back(
    organization: Organization,
    subscription: str,
    amount_nano: int,
    reason: str,
    *,
    before_nano: int,
    is_all: bool,
) -> None:
    """A plan that was paid for could not be given: the money, or more of it than before, is on its way back."""
    amount = usd_from_nano(amount_nano - before_nano)
    part = f"{'Another ' if before_nano else ''}{amount} USD of what was paid by card for a plan"
    if is_all and not before_nano:
        message = (
            f"A card payment of {amount} USD for a plan is on its way back to the card, and is not charged"
            f" again: {reason}"
        )
    elif is_all:
        message = f"{part} is on its way back to the card: {reason}"
    else:
        message = (
            f"{part} is on its way back to the card. The rest could not be sent back"
            f" yet: our team knows of it. Nothing more is charged. {reason}"
        )
    tell(
        organization,
        Alert.Kind.PLAN_REFUND,
        threshold=before_nano,
        window=subscription,
        message=message,
    )


@transaction.atomic
def plan_disputed(organization: Organization, dispute: str, amount_nano: int, status: str) -> None:
    """A payment for a plan is contested, or the bank decided; nothing of the balance is withheld for it."""
    amount = usd_from_nano(amount_nano)
    if status == Dispute.Status.OPEN:
        message = (
            f"A payment of {amount} USD for your plan is disputed at the cardholder's bank. The plan goes"
            " on while the bank decides."
        )
    else:
        _no_longer(organization, Alert.Kind.DISPUTE, threshold=0, window=dispute)
        message = (
            f"The dispute over {amount} USD for your plan was decided in your favour."
            if status == Dispute.Status.WON
            else f"The dispute over {amount} USD for your plan was lost: the amount goes back to the cardholder."
        )
    closed = status != Dispute.Status.OPEN
    tell(organization, Alert.Kind.DISPUTE, threshold=int(closed), window=dispute, message=message)


def invoice_issued(invoice: Invoice) -> None:
    """A month was invoiced, or an invoice corrected."""
    tell(
        invoice.organization,
        Alert.Kind.INVOICE,
        threshold=0,
        window=invoice.number,
        message=f"{invoice.get_kind_display()} {invoice.number} of {usd_from_nano(invoice.total_nano)} USD is"
        " ready under Invoices and receipts. It was settled from the balance: there is nothing to pay.",
    )


def open_alerts(organization: Organization) -> QuerySet[Alert]:
    """What the console shows until somebody dismisses it, the newest first."""
    found: QuerySet[Alert] = Alert.objects.for_organization(organization).filter(dismissed_at=None)
    return found.exclude(kind=Alert.Kind.INVOICE)


def _no_longer(organization: Organization, kind: str, **which: object) -> None:
    Alert.objects.for_organization(organization).filter(
        kind=kind, dismissed_at=None, **which
    ).update(dismissed_at=timezone.now())


def dismiss(alert: Alert) -> None:
    """Somebody has read it."""
    Alert.objects.filter(pk=alert.pk, dismissed_at=None).update(dismissed_at=timezone.now())


@transaction.atomic
def set_budget(
    organization: Organization,
    *,
    low_balance_nano: int | None,
    monthly_nano: int | None,
    monthly_is_hard: bool = False,
    actor: Actor,
) -> Budget:
    """Set the marks at which to be told; ``None`` is never. A hard month's budget refuses calls, too."""
    hard = monthly_is_hard and monthly_nano is not None
    budget: Budget
    budget, _ = Budget.objects.update_or_create(
        organization=organization,
        defaults={
            "low_balance_nano": low_balance_nano,
            "monthly_nano": monthly_nano,
            "monthly_is_hard": hard,
        },
    )
    record(
        organization, actor, "budget.changed", str(organization.id),
        after={
            "low_balance_usd": None if low_balance_nano is None else usd_from_nano(low_balance_nano),
            "monthly_usd": None if monthly_nano is None else usd_from_nano(monthly_nano),
            "monthly_is_hard": hard,
        },
    )  # fmt: skip
    return budget


def send_mails(limit: int = 100) -> int:
    """Mail what was not mailed yet; returns how many alerts. One whose mail is refused does not hold up others."""
    waiting = Alert.objects.select_related("organization").filter(mailed_at=None)
    return send_waiting(waiting, _mail, lambda: {"mailed_at": timezone.now()}, limit=limit)


def category_of(alert: Alert) -> str:
    """The category by which people choose whether to hear of it."""
    if alert.kind == Alert.Kind.KEY_LEAKED:
        return Category.SECURITY
    return Category.BALANCE if alert.kind in _ABOUT_BALANCE else Category.INVOICES


def recipients(organization: Organization, category: str = Category.BALANCE) -> list[str]:
    """Who is mailed: everyone who may do something about it and wants such mail."""
    needs = Permission.MANAGE_KEYS if category == Category.SECURITY else Permission.MANAGE_BILLING
    return addresses(organization, category, needs)


def _mail(alert: Alert) -> EmailMessage | None:
    to = recipients(alert.organization, category_of(alert))
    if not to:
        return None
    return EmailMessage(
        subject=f"TokenHub: {alert.get_kind_display()} · {alert.organization.name}",
        body=f"{alert.message}\n\n{_url(alert)}\n",
        to=to,
    )


def _url(alert: Alert) -> str:
    room = "keys" if alert.kind == Alert.Kind.KEY_LEAKED else "billing"
    return f"{settings.PUBLIC_URL}/o/{alert.organization.slug}/{room}/"
