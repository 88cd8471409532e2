"""Find a customer by whatever is known: a name, an address, a piece of a key, the id of anything."""

import re
from dataclasses import dataclass

from django.db.models import Q

from accounts.models import Organization
from accounts.webhooks.models import Endpoint
from billing.models import Invoice, TopUp, Usage
from keys.models import ApiKey

MAX_HITS = 25
_SECRET = re.compile(r"\bth[km]_[A-Za-z0-9]{12,}")
# What an id begins with → where it leads.
_IDS = {"req_": Usage, "top_": TopUp, "whk_": Endpoint, "key_": ApiKey}


@dataclass(frozen=True, slots=True)
class Hit:
    """A customer, and what of them was found."""

    organization: Organization
    by: str


def is_secret(query: str) -> bool:
    """Whether somebody pasted a whole key."""
    return bool(_SECRET.search(query))


def organizations(query: str) -> list[Hit]:
    """Those that match, each once, at most 25."""
    found: dict[str, Hit] = {}
    for hit in (*_by_id(query), *_by_key(query), *_by_words(query)):
        found.setdefault(hit.organization.pk, hit)
    return list(found.values())[:MAX_HITS]


def _by_id(query: str) -> list[Hit]:
    if query.startswith("org_"):
        organization = Organization.objects.by_slug_or_id(query)
        return [Hit(organization, "id")] if organization else []
    model = _IDS.get(query[:4])
    if model is not None:
        row = model.objects.select_related("organization").by_id(query)
        return [Hit(row.organization, query)] if row else []
    invoice = Invoice.objects.select_related("organization").filter(number=query.upper()).first()
    return [Hit(invoice.organization, invoice.number)] if invoice else []


def _by_key(query: str) -> list[Hit]:
    """By the beginning or the last four characters; of a pasted key both, and nothing else is looked at."""
    if is_secret(query):
        which = Q(prefix=query[:8], last4=query[-4:])
    elif query.startswith(("thk_", "thm_")):
        which = Q(prefix__startswith=query[:8])
    elif len(query) == 4:
        which = Q(last4=query)
    else:
        return []
    keys = ApiKey.objects.select_related("organization").filter(which)[:MAX_HITS]
    return [Hit(key.organization, f"key {key.label}") for key in keys]


def _by_words(query: str) -> list[Hit]:
    if is_secret(query):
        return []
    named = Organization.objects.filter(Q(name__icontains=query) | Q(slug__icontains=query))
    hits = [Hit(each, "name") for each in named[:MAX_HITS]]
    if "@" in query:
        having = Organization.objects.filter(memberships__user__email__icontains=query).distinct()
        hits += [Hit(each, "member") for each in having[:MAX_HITS]]
    return hits
