"""The catalogue as pages list it: kept in memory with the names of what is in it, and read anew once it changed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection

from routing import models
from routing.selectors import load_catalogue
from routing.types import Catalogue


@dataclass(frozen=True, slots=True)
class Listing:
    """The catalogue at one version, with what people call things. Names are of all there is, on offer or not."""

    version: int
    catalogue: Catalogue
    regions: Mapping[str, str]
    providers: Mapping[str, str]
    models: Mapping[str, str]
    descriptions: Mapping[str, str]
    """Of models."""

    @property
    def holds(self) -> bool:
        """Whether no price has come into force since."""
        change_s = self.catalogue.next_change_s
        return change_s is None or time.time() < change_s


_kept: Listing | None = None


def listing() -> Listing:
    """The catalogue as it is now: one query while it stays as it was, nine after a change."""
    global _kept
    with connection.cursor() as cursor:
        cursor.execute("SELECT version FROM routing_catalogueversion")
        version = int(cursor.fetchone()[0])
    found = _kept
    if found is None or found.version != version or not found.holds:
        # What is read after the version may be newer than it: then the next one reads again.
        found = _kept = _read(version)
    return found


def _read(version: int) -> Listing:
    rows = list(models.Model.objects.values_list("slug", "name", "description"))
    return Listing(
        version=version,
        catalogue=load_catalogue(),
        regions=dict(models.Region.objects.values_list("slug", "name")),
        providers=dict(models.Provider.objects.values_list("slug", "name")),
        models={slug: name for slug, name, _ in rows},
        descriptions={slug: text for slug, _, text in rows},
    )
