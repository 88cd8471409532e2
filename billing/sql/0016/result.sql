-- A result names the shares of budgets it was held against.
ALTER TYPE billing_result ADD ATTRIBUTE budget_leases uuid[];
