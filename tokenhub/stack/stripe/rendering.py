"""Answers as they go over the wire: a copy, with what ``expand`` asks for put in."""

from collections.abc import Callable
from typing import Any

from tokenhub.stack.stripe import charges, checkout, invoices
from tokenhub.stack.stripe.errors import Refused, invalid
from tokenhub.stack.stripe.store import Obj, Store, snapshot

MAX_DEPTH = 4

# Properties that are there only when asked for.
_ON_DEMAND: dict[tuple[str, str], Callable[[Store, Obj], Obj]] = {
    ("charge", "refunds"): charges.refunds_of,
    ("checkout.session", "line_items"): checkout.line_items,
    ("invoice", "payments"): invoices.payments_of,
}


def render(store: Store, obj: Obj, paths: list[Any]) -> Obj:
    """A copy of an object or list, with the objects that ``paths`` name in place of their ids."""
    copied = snapshot(obj)
    for path in paths:
        if not isinstance(path, str) or len(path.split(".")) > MAX_DEPTH + 1:
            raise invalid("You cannot expand more than 4 levels of a property", param="expand")
        _expand(store, copied, path, path)
    return copied


def _expand(store: Store, node: Obj, path: str, whole: str) -> None:
    head, _, rest = path.partition(".")
    if head == "data" and node.get("object") == "list":
        if not rest:
            raise _impossible(whole)
        for child in node["data"]:
            _expand(store, child, rest, whole)
        return
    on_demand = _ON_DEMAND.get((node.get("object", ""), head))
    if on_demand is not None:
        node.setdefault(head, snapshot(on_demand(store, node)))
    if head not in node:
        raise _impossible(whole)
    value = node[head]
    if isinstance(value, str):
        found = store.find(value)
        if found is None:
            raise _impossible(whole)
        node[head] = value = snapshot(found)
    if rest and isinstance(value, dict):
        _expand(store, value, rest, whole)


def _impossible(path: str) -> Refused:
    return invalid(f"This property cannot be expanded ({path}).", param="expand[]")
