"""Card payments through Stripe: top-ups, refunds, disputes, subscriptions, and the inbox of what Stripe says.

Stripe holds the truth about a payment. Webhook, return page and reconciliation all read it there
and apply it here by the same function, so that order, repetition and loss of messages do not matter.
"""
