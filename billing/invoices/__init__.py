"""Monthly invoices and credit notes: closed once, from the ledger, and never changed after."""

from billing.invoices.close import close_due, close_month, issue_credit_note

__all__ = ["close_due", "close_month", "issue_credit_note"]
