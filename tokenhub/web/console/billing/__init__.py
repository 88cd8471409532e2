"""The rooms about money: balance, ledger, top-ups, cards, profile, invoices, plan, budgets."""
