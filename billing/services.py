"""Writes on money outside the gateway: open accounts, post transfers, take back undelivered results."""

from collections.abc import Iterable
from datetime import timedelta

import structlog
from django.db import connection, transaction
from django.utils import timezone

from accounts.audit import Actor, record
from accounts.models import Organization
from billing.archive import archived_among
from billing.corrections import invoices_of, left_nano
from billing.errors import InsufficientBalance, InvalidAmount, ReferenceReused
from billing.models import Account, BudgetLease, Settlement, Transfer, Usage
from billing.money import MAX_NANO, usd_from_nano

log = structlog.get_logger(__name__)


@transaction.atomic
def open_accounts(organization: Organization) -> None:
    """Give an organization its four ledger accounts; existing ones stay."""
    for kind in Account.Kind.values:
        Account.objects.get_or_create(organization=organization, kind=kind)


@transaction.atomic
def post(
    organization: Organization,
    kind: str,
    *,
    debit: str,
    credit: str,
    amount_nano: int,
    reference: str,
    description: str = "",
    from_frozen: bool = False,
) -> Transfer:
    """Move ``amount_nano`` between the wallet and another account, once per ``reference``.

    ``from_frozen`` says that a debit is what frozen money was withheld for.

    Returns the transfer that carries the reference, whether this call made it or an earlier one.
    Raises ``ReferenceReused`` where that one moved something else, ``InsufficientBalance`` where
    the wallet's available money does not cover a debit.
    """
    if not 0 < amount_nano <= MAX_NANO:
        raise InvalidAmount("The amount must be greater than zero and within the ledger's range.")
    wallet: Account = Account.objects.select_for_update(no_key=True).get(
        organization=organization, kind=Account.Kind.WALLET
    )
    earlier: Transfer | None = Transfer.objects.filter(
        organization=organization, reference=reference
    ).first()
    if earlier is not None:
        same = (earlier.kind, earlier.debit_account, earlier.credit_account, earlier.amount_nano)
        if same != (kind, debit, credit, amount_nano):
            raise ReferenceReused(f"“{reference}” already names another transfer.")
        return earlier
    withheld = 0 if from_frozen else wallet.frozen_nano
    signed = amount_nano if credit == Account.Kind.WALLET else -amount_nano
    if signed < 0 and wallet.balance_nano - wallet.leased_nano - withheld + signed < 0:
        available_nano = max(wallet.balance_nano - wallet.leased_nano - withheld, 0)
        raise InsufficientBalance(f"{usd_from_nano(available_nano)} USD is available.")
    if wallet.balance_nano + signed > MAX_NANO:
        raise InvalidAmount("The balance would exceed what the ledger holds.")
    transfer: Transfer = Transfer.objects.create(
        organization=organization,
        kind=kind,
        debit_account=debit,
        credit_account=credit,
        amount_nano=amount_nano,
        balance_after_nano=wallet.balance_nano + signed,
        sequence=wallet.sequence + 1,
        reference=reference,
        description=description[:200],
    )
    return transfer


@transaction.atomic
def grant_credit(
    organization: Organization, amount_nano: int, *, reason: str, reference: str, actor: Actor
) -> Transfer:
    """An operator's credit, with its reason, through the ledger and into the audit trail."""
    if not reason.strip():
        raise InvalidAmount("A credit needs a reason.")
    open_accounts(organization)
    transfer = post(
        organization,
        Transfer.Kind.CREDIT,
        debit=Account.Kind.CREDIT,
        credit=Account.Kind.WALLET,
        amount_nano=amount_nano,
        reference=reference,
        description=reason,
    )
    record(
        organization,
        actor,
        "balance.credited",
        reference,
        after={"amount_usd": usd_from_nano(amount_nano), "reason": reason},
    )
    return transfer


@transaction.atomic
def take_back(request_ids: Iterable[str], *, reason: str) -> int:
    """Reverse the charge of results that never reached their client (R4); returns how many.

    ``reason`` becomes the requests' error code. Taking back twice is taking back once. A charge stays
    whose invoice was corrected so far that less than the charge is left of it: the money went back. So does
    one whose month is archived.
    """
    wanted = list(request_ids)
    # The wallets first, in the order every writer takes them.
    organizations = set(
        Usage.objects.filter(id__in=wanted, billed=True).values_list("organization_id", flat=True)
    )
    list(
        Account.objects.select_for_update(no_key=True)
        .filter(organization_id__in=organizations, kind=Account.Kind.WALLET)
        .order_by("organization_id")
    )
    charged = list(
        Usage.objects.select_for_update().filter(id__in=wanted, billed=True).order_by("id")
    )
    if len(charged) < len(wanted) and (archived := archived_among(wanted)):
        # Only a process that was away for months asks for these: operators credit them by hand.
        log.warning("already_archived", requests=archived)
    invoices = invoices_of(charged)
    taken = []
    for usage in charged:
        invoice = invoices.get(usage.id)
        if invoice is not None and (left := left_nano(invoice)) < usage.total_nano:
            log.warning(
                "already_corrected", request=usage.id, invoice=invoice.number,
                charged_nano=usage.total_nano, left_nano=left,
            )  # fmt: skip
            continue
        taken.append(usage)
        if usage.total_nano:
            post(
                usage.organization,
                Transfer.Kind.REVERSAL,
                debit=Account.Kind.REVENUE,
                credit=Account.Kind.WALLET,
                amount_nano=usage.total_nano,
                reference=f"reversal:{usage.id}",
                description="The result did not reach its client",
            )
    # All at once: the sums by day are locked in their order.
    Usage.objects.filter(id__in=[usage.id for usage in taken]).update(
        billed=False, status=Usage.Status.FAILED, error_code=reason
    )
    return len(taken)


def reap_leases() -> int:
    """Return what leases of balances and budgets had not spent when their time passed; how many there were."""
    return _call("SELECT billing_reap_leases()") + _call("SELECT billing_reap_budgets()")


def keep_usage_partitions(months_ahead: int = 3) -> dict[str, str]:
    """Create the monthly usage partitions that are missing: each such month (YYYY-MM) with what became of it.

    ``added``; ``busy`` where usage is being read, so that a later run has to do it; ``crowded`` where
    the default partition has more of the month than can be moved while charges go on.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # Whoever reads all of usage waits for this, however much there is to move or to look through.
        cursor.execute("SET LOCAL statement_timeout = '10s'")
        cursor.execute("SELECT month, outcome FROM billing_keep_usage_months(%s)", [months_ahead])
        return dict(cursor.fetchall())


def forget_settlements(older_than: timedelta = timedelta(days=7)) -> int:
    """Drop the notes that make a repeated group harmless once no process can repeat it any more.

    And the shares of budgets that were closed as long ago: what was spent is in the usage.
    """
    BudgetLease.objects.filter(closed_at__lt=timezone.now() - older_than).delete()
    deleted, _ = Settlement.objects.filter(created_at__lt=timezone.now() - older_than).delete()
    return deleted


def _call(statement: str, *arguments: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        row = cursor.fetchone()
    return int(row[0])
