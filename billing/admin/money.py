"""Money in the admin: what is kept in nano-USD is read in USD."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin
from billing.money import usd_from_nano

NANO = "_nano"


class MoneyAdmin(ReadOnlyAdmin):
    """Rows to look at: each ``…_nano`` is “… (USD)”, nothing rounded, in the list and on a row's own page."""

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [in_usd(name) for name in super().get_list_display(request)]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [in_usd(name) for name in super().get_fields(request, obj)]


def in_usd(name: Any) -> Any:
    """The column that shows a field of nano-USD; any other as it is."""
    if not isinstance(name, str) or not name.endswith(NANO):
        return name
    words = name.removesuffix(NANO).replace("_", " ").capitalize()

    @admin.display(description=f"{words} (USD)", ordering=name, empty_value="–")
    def column(obj: Any) -> str | None:
        amount = getattr(obj, name)
        return None if amount is None else usd_from_nano(amount)

    # The admin's CSS classes are made of it.
    column.__name__ = name
    return column
