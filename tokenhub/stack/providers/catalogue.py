"""Which provider offers which upstream model where, from the seed catalogue."""

import csv
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Site:
    """One provider in one region."""

    slug: str
    region: str
    models: dict[str, str] = field(default_factory=dict)
    """Modality by upstream model name."""
    dialects: set[str] = field(default_factory=set)


Catalogue = dict[tuple[str, str], Site]


def load(path: Path) -> Catalogue:
    """The sites of a catalogue file by (provider, region)."""
    sites: Catalogue = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            place = (row["provider"], row["region"])
            site = sites.setdefault(place, Site(*place))
            site.models[row["upstream_model"]] = row["modality"]
            site.dialects.add(row["dialect"])
    return sites
