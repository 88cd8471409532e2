"""The hook for taxes. None are computed unless an installation names its calculator."""

from collections.abc import Callable

from django.conf import settings
from django.utils.module_loading import import_string

Calculator = Callable[[dict[str, str], int], int]


def tax_nano(profile: dict[str, str], subtotal_nano: int) -> int:
    """The tax on a subtotal in nano-USD, by ``TAX_CALCULATOR``; zero where none is named.

    The calculator gets the billing profile of the document and the subtotal. It is for prices that
    include tax or are invoiced on: the prepaid balance is not charged for it.
    """
    if not settings.TAX_CALCULATOR:
        return 0
    calculator: Calculator = import_string(settings.TAX_CALCULATOR)
    return calculator(profile, subtotal_nano)
