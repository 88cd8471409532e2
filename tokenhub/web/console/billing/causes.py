"""What caused each entry of the ledger, and the page that shows it."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Value
from django.urls import reverse

from accounts.models import Organization
from billing.models import Dispute, Refund, Transfer


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger entry with its cause; ``url`` is empty where the description says it all."""

    transfer: Transfer
    cause: str
    url: str


def with_causes(organization: Organization, transfers: Iterable[Transfer]) -> list[Entry]:
    """Entries with links to the request, payment or document that made them."""
    found = list(transfers)
    names = {
        reference.partition(":")[2].partition(":")[0] for reference in (t.reference for t in found)
    }
    refunds, disputes = (
        kind.objects.for_organization(organization)
        .filter(pk__in=[name for name in names if name.startswith(prefix)])
        .order_by()
        .values_list(Value(prefix), "pk", "top_up_id")
        for kind, prefix in ((Refund, "refund_"), (Dispute, "dispute_"))
    )
    payments: dict[str, str] = {
        f"{prefix}{pk.rpartition('_')[2]}": top_up
        for prefix, pk, top_up in refunds.union(disputes, all=True)
    }
    return [_entry(organization, transfer, payments) for transfer in found]


def _entry(organization: Organization, transfer: Transfer, payments: dict[str, str]) -> Entry:
    kind, _, rest = transfer.reference.partition(":")
    name = rest.partition(":")[0]
    if kind.startswith("req_"):
        return Entry(transfer, "Request", _url("request_detail", organization, kind))
    if kind == "reversal":
        return Entry(transfer, "Request", _url("request_detail", organization, name))
    if kind == "top_up":
        return Entry(transfer, "Payment", _url("top_up_detail", organization, name))
    if name in payments:
        return Entry(transfer, "Payment", _url("top_up_detail", organization, payments[name]))
    if kind == "credit_note":
        return Entry(transfer, name, _url("invoice", organization, name))
    return Entry(transfer, "", "")


def _url(view: str, organization: Organization, name: str) -> str:
    return reverse(view, args=[organization.slug, name])
