"""Money for operators: what was agreed is set here, what happened is only looked at."""

from billing.admin import adjustments, documents, ledger, payments, plans

__all__ = ["adjustments", "documents", "ledger", "payments", "plans"]
