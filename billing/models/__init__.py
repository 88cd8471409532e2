"""Plans, the ledger, usage, payments, documents and alerts; a module for each."""

from billing.models.adjustments import Adjustment
from billing.models.alerts import Alert, Budget
from billing.models.archive import ArchivedMonth, ArchivedUsage
from billing.models.budgets import BudgetLease
from billing.models.claims import Claim
from billing.models.invoices import Invoice, InvoiceLine, Receipt, Series
from billing.models.ledger import Account, Lease, Settlement, Transfer
from billing.models.media import MediaTask
from billing.models.payments import (
    AutomaticTopUp,
    BillingProfile,
    Dispute,
    PaymentMethod,
    PlanPayment,
    Refund,
    TopUp,
)
from billing.models.plans import (
    ENTERPRISE,
    PRO,
    STARTER,
    Agreement,
    Plan,
    PlanVersion,
    Subscription,
)
from billing.models.stripe import Reconciliation, StripeEvent, StripeInstruction
from billing.models.usage import Usage, UsageDay

__all__ = [
    "ENTERPRISE",
    "PRO",
    "STARTER",
    "Account",
    "Adjustment",
    "Agreement",
    "Alert",
    "ArchivedMonth",
    "ArchivedUsage",
    "AutomaticTopUp",
    "BillingProfile",
    "Budget",
    "BudgetLease",
    "Claim",
    "Dispute",
    "Invoice",
    "InvoiceLine",
    "Lease",
    "MediaTask",
    "PaymentMethod",
    "Plan",
    "PlanPayment",
    "PlanVersion",
    "Receipt",
    "Reconciliation",
    "Refund",
    "Series",
    "Settlement",
    "StripeEvent",
    "StripeInstruction",
    "Subscription",
    "TopUp",
    "Transfer",
    "Usage",
    "UsageDay",
]
