"""The public price list: each offering's amounts, unit by unit and tier by tier, ready for a table."""

from collections.abc import Iterator
from dataclasses import dataclass

from billing.money import service_fee_nano
from routing.models import Model
from routing.pricing import Line, fee_lines
from routing.types import Catalogue, ModelInfo, Offering, Price, PriceComponent
from tokenhub.web.words import SECONDARY_UNITS, SHORT_UNITS

# The worked example of the front page: amounts are those of a real list, the request is made up.
EXAMPLE_PRICE = Price(
    version=1,
    components=(PriceComponent("input", 280_000_000), PriceComponent("output", 420_000_000)),
)
EXAMPLE_UNITS = {"input": 1_850, "output": 412}
EXAMPLE_FEE_BPS = 300


@dataclass(frozen=True, slots=True)
class Unit:
    """A column of a price list."""

    name: str
    is_secondary: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One offering; ``amounts`` has, for each unit of its list, the amounts of its tiers."""

    offering: Offering
    amounts: tuple[tuple[Unit, tuple[PriceComponent, ...]], ...]


@dataclass(frozen=True, slots=True)
class PriceList:
    """Everything of one modality."""

    modality: str
    name: str
    units: tuple[Unit, ...]
    models: tuple[tuple[ModelInfo, tuple[Row, ...]], ...]
    has_context: bool


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge, worked out."""

    lines: list[Line]
    model_fee_nano: int
    service_fee_nano: int
    total_nano: int


def price_lists(catalogue: Catalogue) -> Iterator[PriceList]:
    """One list for each modality that is offered, in the order of the catalogue's choices."""
    for modality, name in Model.Modality.choices:
        models = [
            (info, catalogue.by_model.get(info.slug, ()))
            for info in sorted(catalogue.models.values(), key=lambda info: info.name.lower())
            if info.modality == modality and info.status != Model.Status.RETIRED
        ]
        offerings = [offering for _, found in models for offering in found]
        units = {
            unit: Unit(short, unit in SECONDARY_UNITS)
            for unit, short in SHORT_UNITS.items()
            if any(_tiers(offering, unit) for offering in offerings)
        }
        if offerings:
            yield PriceList(
                modality=modality,
                name=name,
                units=tuple(units.values()),
                models=tuple((info, _rows(found, units)) for info, found in models if found),
                has_context=any(offering.context_length for offering in offerings),
            )


def prices_of(offering: Offering) -> dict[str, int]:
    """The first tier's amount of every unit, in nano-USD, in the order of the price lists."""
    first: dict[str, int] = {}
    if offering.price is not None:
        for part in sorted(offering.price.components, key=lambda part: part.from_tokens):
            first.setdefault(part.unit, part.amount_nano)
    return {unit: first[unit] for unit in SHORT_UNITS if unit in first}


def example_charge() -> Charge:
    """The front page's example, by the functions that charge."""
    lines, model_fee = fee_lines(EXAMPLE_PRICE, EXAMPLE_UNITS)
    service_fee = service_fee_nano(model_fee, EXAMPLE_FEE_BPS)
    return Charge(lines, model_fee, service_fee, model_fee + service_fee)


def _rows(offerings: tuple[Offering, ...], units: dict[str, Unit]) -> tuple[Row, ...]:
    ordered = sorted(offerings, key=lambda offering: (offering.provider, offering.region))
    return tuple(
        Row(offering, tuple((column, _tiers(offering, unit)) for unit, column in units.items()))
        for offering in ordered
    )


def _tiers(offering: Offering, unit: str) -> tuple[PriceComponent, ...]:
    if offering.price is None:
        return ()
    found = [part for part in offering.price.components if part.unit == unit]
    return tuple(sorted(found, key=lambda part: part.from_tokens))
