"""A simulated Stripe: a real HTTP server which the genuine ``stripe`` library drives.

``python -m tokenhub.stack.stripe --port 0`` prints ``ready http://127.0.0.1:PORT``; point
``StripeClient(key, base_addresses={"api": url})`` at it. Objects have Stripe's names and types, money
is in US cents, times are Unix seconds. It refuses to start when ``DEBUG`` says that this is production.

A Checkout session's ``url`` is a page of this server where the test cards of ``cards.py`` pay without
JavaScript. Events are signed and posted to ``--webhook-url``, and tried again until they are taken.

Time does not pass by itself: a subscription renews or ends when ``/_control`` says so. ``control.py``
lists what else can be arranged there: disputes, refunds from the dashboard, faults, redeliveries.
With ``--state FILE`` everything outlives a restart.
"""
