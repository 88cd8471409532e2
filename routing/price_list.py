"""Price lists as CSV into the catalogue: a new version for each offering whose price differs, from an instant on.

A line is one of ``seed/catalogue.csv``: model, provider, region, dialect where it matters, and an
amount in USD for each unit; tiers by input size are ``amount@upto|amount``. Columns that are no price are
read over. A price in force is never touched: what was charged stays explained.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.html import escape, format_html
from import_export import resources
from import_export.fields import Field
from import_export.formats import base_formats

from routing.models import Offering, Price, PriceComponent
from routing.seed.load import UNITS, Component, components

# Between the preview and its confirmation.
_SLACK = timedelta(minutes=1)
_NAMES = ("model", "provider", "region")
_CELL = re.compile(r"(?:\d{1,6}(?:\.\d{1,9})?@\d{1,12}\|)*\d{1,6}(?:\.\d{1,9})?")


class PriceListCsv(base_formats.CSV):  # type: ignore[misc]
    """CSV in which lines that begin with ``#`` are notes."""

    def create_dataset(self, in_stream: Any, **options: Any) -> Any:
        if isinstance(in_stream, bytes):
            in_stream = in_stream.decode(self.encoding or "utf-8-sig")
        lines = (line for line in in_stream.splitlines() if line and not line.startswith("#"))
        return super().create_dataset("\n".join(lines), **options)


class _Diff:
    """One line of the preview: what is in force now, and what will be."""

    def __init__(self, resource: Any, instance: Price, new: bool) -> None:
        self._instance = instance

    def compare_with(self, resource: Any, instance: Price) -> None:
        self._instance = instance

    def as_html(self) -> list[str]:
        price: Any = self._instance
        if not hasattr(price, "wanted"):
            return []
        names = [escape(getattr(price, name)) for name in ("of_model", "of_provider", "of_region")]
        now, then = _by_unit(price.current), _by_unit(price.wanted)
        return [
            *names,
            *(_change(now.get(unit, ""), then.get(unit, "")) for unit in UNITS.values()),
        ]


class PriceListResource(resources.ModelResource):  # type: ignore[misc]
    """Lines become price versions; ``effective_from`` is for all of them, at once where it is None."""

    class Meta:
        model = Price
        fields: tuple[str, ...] = ()
        import_id_fields: tuple[str, ...] = ()
        use_transactions = True
        clean_model_instances = False
        skip_unchanged = True
        report_skipped = True

    def __init__(self, effective_from: datetime | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._effective_from = effective_from or timezone.now()
        self._offerings: dict[tuple[str, ...], list[Offering]] = {}
        self._seen: set[int] = set()
        self.fields = {name: Field(column_name=name) for name in (*_NAMES, *UNITS)}

    def get_diff_class(self) -> type[_Diff]:
        return _Diff

    def get_user_visible_fields(self) -> list[Any]:
        return list(self.fields.values())

    def get_import_fields(self) -> list[Any]:
        return []  # instances are made from the whole line, not field by field

    def before_import(self, dataset: Any, **_: Any) -> None:
        """Everything that is offered, read once."""
        missing = [name for name in _NAMES if name not in (dataset.headers or [])]
        if missing:
            raise ValidationError(f"The column “{missing[0]}” is missing.")
        if self._effective_from < timezone.now() - _SLACK:
            raise ValidationError("A price cannot take effect in the past.")
        self._offerings, self._seen = {}, set()
        for offering in Offering.objects.select_related(
            "model", "endpoint__provider"
        ).prefetch_related("prices__components"):
            place = (
                offering.model.slug,
                offering.endpoint.provider.slug,
                offering.endpoint.region_id,
            )
            self._offerings.setdefault(place, []).append(offering)

    def get_or_init_instance(self, instance_loader: Any, row: dict[str, Any]) -> tuple[Price, bool]:
        place = tuple(str(row.get(name) or "").strip() for name in _NAMES)
        dialect = str(row.get("dialect") or "").strip()
        found = [
            offering
            for offering in self._offerings.get(place, [])
            if not dialect or offering.endpoint.dialect == dialect
        ]
        if len(found) != 1:
            many = "more than one offering; say the dialect" if found else "no such offering"
            raise ValidationError(f"{place[0]} at {place[1]} in {place[2]}: {many}.")
        if found[0].pk in self._seen:
            raise ValidationError(f"{place[0]} at {place[1]} in {place[2]}: listed twice.")
        self._seen.add(found[0].pk)
        price: Any = Price(offering=found[0], effective_from=self._effective_from)
        price.of_model, price.of_provider, price.of_region = place
        price.wanted = _parsed(row)
        price.current = _in_force(found[0], self._effective_from)
        return price, True

    def skip_row(
        self, instance: Any, original: Any, row: Any, import_validation_errors: Any = None
    ) -> bool:
        return bool(instance.wanted == instance.current)

    def save_m2m(self, instance: Any, row: Any, **_: Any) -> None:
        PriceComponent.objects.bulk_create(
            PriceComponent(
                price=instance, unit=unit, from_tokens=lower, upto_tokens=upto, amount_nano=amount
            )
            for unit, lower, upto, amount in instance.wanted
        )


def _parsed(row: dict[str, Any]) -> list[Component]:
    cells = {column: str(row.get(column) or "").strip() for column in UNITS}
    for column, cell in cells.items():
        if cell and not _CELL.fullmatch(cell):
            raise ValidationError(
                f"{column}: “{cell[:60]}” is not an amount such as 0.28 or 0.2@128000|0.4."
            )
    found = sorted(components(cells), key=_order)
    if not found:
        raise ValidationError("The line has no price.")
    for unit, lower, upto, _ in found:
        if upto is not None and upto <= lower:
            raise ValidationError(f"{unit}: the tiers are not in order.")
    return found


def _in_force(offering: Offering, at: datetime) -> list[Component]:
    """What would be charged at an instant without the list."""
    versions = [price for price in offering.prices.all() if price.effective_from <= at]
    if not versions:
        return []
    latest = max(versions, key=lambda price: price.effective_from)
    return sorted(
        ((c.unit, c.from_tokens, c.upto_tokens, c.amount_nano) for c in latest.components.all()),
        key=_order,
    )


def _order(component: Component) -> tuple[str, int]:
    return component[0], component[1]


def _by_unit(parts: Iterable[Component]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for unit, _, upto, amount_nano in parts:
        usd = f"{(Decimal(amount_nano) / 1_000_000_000).normalize():f}"
        found.setdefault(unit, []).append(usd if upto is None else f"{usd}@{upto}")
    return {unit: "|".join(amounts) for unit, amounts in found.items()}


def _change(before: str, after: str) -> str:
    if before == after:
        return escape(after)
    return format_html("<del>{}</del> <ins>{}</ins>", before or "none", after or "none")
