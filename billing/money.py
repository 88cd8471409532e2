"""Exact money: integers of nano-USD (10⁻⁹ USD), their fees, and their decimal spelling."""

from decimal import Decimal

NANO_PER_USD = 1_000_000_000
# BIGINT holds ±9.2 × 10⁹ USD in nano-USD.
MAX_NANO = 2**63 - 1


def service_fee_nano(model_fee_nano: int, fee_bps: int) -> int:
    """Platform service fee on a model fee, in nano-USD.

    ``fee_bps`` is basis points (300 = 3 %). Half-up, so 0.5 nano rounds to 1.
    Source: DESIGN.md R1.
    """
    return (model_fee_nano * fee_bps + 5_000) // 10_000


def usd_from_nano(amount_nano: int) -> str:
    """A decimal string in USD with at least two and at most nine decimals, nothing rounded."""
    sign = "-" if amount_nano < 0 else ""
    whole, nano = divmod(abs(amount_nano), NANO_PER_USD)
    decimals = f"{nano:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"


def nano_from_usd(amount: Decimal | str) -> int:
    """Nano-USD of a decimal amount in USD; ``ValueError`` where it is finer than a nano or no number."""
    try:
        nano = Decimal(amount) * NANO_PER_USD
    except ArithmeticError:
        raise ValueError(f"“{amount}” is not an amount in USD.") from None
    if not nano.is_finite() or nano != nano.to_integral_value() or abs(nano) > MAX_NANO:
        raise ValueError(f"“{amount}” is not an amount in USD with at most nine decimals.")
    return int(nano)
