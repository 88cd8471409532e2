"""What can go wrong with money, in sentences a person can act on."""


class BillingError(Exception):
    """Base of this app's errors."""

    code = "billing_error"


class InsufficientBalance(BillingError):
    """A charge would take the balance below zero."""

    code = "insufficient_balance"


class ReferenceReused(BillingError):
    """A transfer with this reference exists and moved something else."""

    code = "reference_reused"


class InvalidAmount(BillingError):
    """An amount that cannot be moved: zero, negative, or beyond what the ledger holds."""

    code = "invalid_amount"


class PlanConflict(BillingError):
    """Another plan or agreement is already set for that time."""

    code = "plan_conflict"


class PaymentRefused(BillingError):
    """Stripe or the bank said no; the words are fit for the customer, ``reason`` is Stripe's code."""

    code = "payment_refused"
    reason = "refused"


class PaymentsAway(BillingError):
    """Stripe did not answer. Nothing is known to have happened; the same call may be repeated."""

    code = "payments_away"


class NotRefundable(BillingError):
    """More than is unused, too late, or not a payment by card."""

    code = "not_refundable"


class InvoiceConflict(BillingError):
    """The month is not over, or a later one is already closed."""

    code = "invoice_conflict"


class AdjustmentRefused(BillingError):
    """Without a reason, alone above the limit, or decided already."""

    code = "adjustment_refused"


class InvalidBudget(BillingError):
    """A budget that makes no sense; ``field`` names what about it."""

    code = "invalid_budget"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class BudgetChanged(BillingError):
    """The budgets are not what the change was meant for."""

    code = "precondition_failed"


class UsageMonthMissing(BillingError):
    """A month of usage has no partition, and without an operator it may begin without."""

    code = "usage_month_missing"


class MonthNotArchived(BillingError):
    """A month of usage cannot be archived, or a file of one does not fit; the message says why."""

    code = "month_not_archived"
