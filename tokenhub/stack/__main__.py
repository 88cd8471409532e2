"""``python -m tokenhub.stack``: what ``make run`` runs."""

import sys

from tokenhub.stack.supervisor import Supervisor, environment

sys.exit(Supervisor(environment()).run())
