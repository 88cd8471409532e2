"""Filters that spell numbers, money and time the same way on every page."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from django import template
from django.template.defaultfilters import stringfilter
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.browsers import browser_name
from billing.money import NANO_PER_USD, usd_from_nano
from routing.models import Model
from tokenhub.web import words

register = template.Library()

CENT_NANO = NANO_PER_USD // 100
# A word with a capital that does not begin the phrase; “TOTP” and “GitHub” are none.
TITLED = re.compile(r"(?<=[\w,][ -])[A-Z](?=[a-z]+\b)")


@register.filter
def usd(amount_nano: int) -> str:
    """``$1,234.50`` of nano-USD, nothing rounded."""
    whole, decimals = usd_from_nano(abs(amount_nano)).split(".")
    return f"{_sign(amount_nano)}${int(whole):,}.{decimals}"


@register.filter
def usd_column(amount_nano: int) -> SafeString:
    """Nothing rounded, and always nine decimals, so that a column lines up; zeros at the end step back."""
    exact = usd(amount_nano)
    zeros = "0" * (9 - len(exact.rpartition(".")[2]))
    return (
        format_html('{}<span class="zeros">{}</span>', exact, zeros) if zeros else SafeString(exact)
    )


@register.filter
def usd_short(amount_nano: int) -> str:
    """``$1,234.50`` of nano-USD, cut to whole cents; less than a cent keeps three digits that count."""
    size = abs(amount_nano)
    if 0 < size < CENT_NANO:
        return f"{_sign(amount_nano)}${Decimal(f'{Decimal(size) / NANO_PER_USD:.3g}'):f}"
    cents = size // CENT_NANO
    return f"{_sign(amount_nano)}${cents // 100:,}.{cents % 100:02d}"


@register.filter
def dollars(amount: str | None) -> str:
    """``$0.50`` of a decimal string in USD, nothing rounded; a dash of nothing."""
    if not amount:
        return "–"
    whole, _, decimals = amount.partition(".")
    return f"${int(whole):,}.{decimals.ljust(2, '0')}"


def _sign(amount: int) -> str:
    return "-" if amount < 0 else ""


@register.filter
def is_whole_cents(amount_nano: int) -> bool:
    """Whether ``usd_short`` leaves nothing out."""
    return amount_nano % CENT_NANO == 0


@register.filter
def count(number: int | None) -> str:
    """``12,345``."""
    return "–" if number is None else f"{number:,}"


@register.filter
def tokens(number: int) -> str:
    """``128K`` of 128000; what is no round number is spelled out."""
    return f"{number // 1000:,}K" if number and number % 1000 == 0 else count(number)


@register.filter
def share_of(part: int, whole: int) -> str:
    """``1.25 %``: a part of a whole, or a dash of nothing."""
    return f"{100 * part / whole:.2f} %" if whole else "–"


@register.filter
def percent_of_bps(bps: int) -> str:
    """``3 %`` of 300 basis points."""
    return f"{(Decimal(bps) / 100).normalize():f} %"


@register.filter
def unit_name(unit: str) -> str:
    """A unit in words."""
    return words.UNITS.get(unit, unit)


@register.filter
def unit_short(unit: str) -> str:
    """A unit in as few words as there are, in small letters: it follows a number."""
    return words.SHORT_UNITS.get(unit, unit).lower()


@register.filter
def per_unit(unit: str) -> str:
    """What a price of a unit is for."""
    if unit == "image":
        return "an image"
    return "a second" if unit.startswith("video_second") else "1M"


@register.filter
def kind_name(modality: str) -> str:
    """A modality in words."""
    return dict(Model.Modality.choices).get(modality, modality)


@register.filter
def named(slug: str, names: Mapping[str, str]) -> str:
    """What people call what a slug names."""
    return names.get(slug, slug)


@register.filter
def policy_name(code: str) -> str:
    """A data policy or a certification in words."""
    return words.POLICIES.get(code, code)


@register.filter
def capability_name(code: str) -> str:
    """What a model can do, in words."""
    return words.CAPABILITIES.get(code, code)


@register.filter
def rule_name(rule: str) -> str:
    """A routing rule in words."""
    return words.rule(rule)


@register.filter
def outcome_name(outcome: str) -> str:
    """An attempt's outcome in words."""
    return words.outcome(outcome)


@register.filter
def error_advice(code: str) -> str:
    """What an error means and what to do about it."""
    return words.ERRORS.get(code, "")


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """How long ago, with the exact UTC time for machines and on hover."""
    if moment is None:
        return "never"
    passed = timezone.now() - moment
    if passed < timedelta(minutes=1):
        said = "just now"
    elif passed < timedelta(hours=1):
        said = f"{int(passed.total_seconds() // 60)} min ago"
    elif passed < timedelta(days=1):
        said = f"{int(passed.total_seconds() // 3600)} h ago"
    else:
        said = f"{moment:%d %b %Y}"
    exact = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, said)


@register.filter
def utc(moment: datetime) -> SafeString:
    """The exact time in UTC."""
    return format_html(
        '<time datetime="{}">{}</time>', moment.isoformat(), f"{moment:%Y-%m-%d %H:%M:%S}"
    )


@register.filter
def clock(moment: datetime) -> SafeString:
    """Day and time in UTC, short; the year only where it is another."""
    pattern = "%d %b %H:%M:%S" if moment.year == timezone.now().year else "%d %b %Y %H:%M"
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(), f"{moment:{pattern}}")


@register.filter
def browser(user_agent: str) -> str:
    """A browser in words."""
    return browser_name(user_agent)


@register.filter(is_safe=True)
@stringfilter
def sentence(phrase: str) -> str:
    """``Change password`` of ``Change Password``: allauth's headings, written as ours are."""
    return TITLED.sub(lambda found: found[0].lower(), phrase)


@register.filter
def pretty_json(value: object) -> str:
    """JSON as people read it; the template escapes it."""
    return json.dumps(value, indent=2, ensure_ascii=False)


@register.filter
def milliseconds(duration_ms: int | None) -> str:
    """``850 ms`` or ``12.3 s``."""
    if duration_ms is None:
        return "–"
    if duration_ms < 1:
        return "<1 ms"
    return f"{duration_ms:,} ms" if duration_ms < 10_000 else f"{duration_ms / 1000:.1f} s"
