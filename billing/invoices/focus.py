"""Invoices as cost data in the columns of FOCUS 1.2, the FinOps Open Cost and Usage Specification.

Source: https://focus.finops.org/focus-specification/v1-2/
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any

from accounts.spreadsheets import csv_lines
from billing.models import Invoice, InvoiceLine
from billing.money import usd_from_nano
from billing.months import month_after

COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "PricingCategory", "PricingQuantity",
    "PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId",
    "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuPriceId",
)  # fmt: skip
_UNITS = {"image": "Images", "cap": "Adjustments"}


def focus_csv(invoices: Iterable[Invoice]) -> Iterator[str]:
    """The invoices' charges line by line, and credit notes as credits; the costs add up to the totals."""
    rows = (row for invoice in invoices for row in _rows(invoice))
    return csv_lines(COLUMNS, ([row.get(name, "") for name in COLUMNS] for row in rows))


def _rows(invoice: Invoice) -> Iterator[dict[str, Any]]:
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        yield {
            **_common(invoice, invoice.period_start, -invoice.total_nano),
            "ChargeCategory": "Credit",
            "ChargeClass": "Correction",
            "ChargeDescription": invoice.reason,
            "ChargeFrequency": "One-Time",
            "ServiceName": "TokenHub",
        }
        return
    for line in invoice.lines.all():
        for part in line.components:
            unit = _UNITS.get(
                part["unit"], "Seconds" if part["unit"].startswith("video") else "Tokens"
            )
            yield {
                **_usage(invoice, line, part["fee"]),
                "ChargeDescription": f"{line.model}: {part['unit'].replace('_', ' ')}",
                "ConsumedQuantity": part["count"],
                "ConsumedUnit": unit,
                "PricingQuantity": part["count"],
                "PricingUnit": unit,
                "SkuId": f"{line.provider}/{line.model}",
                "SkuPriceId": f"{line.provider}/{line.model}/{line.region}/{part['unit']}",
            }
        yield {
            **_usage(invoice, line, line.service_fee_nano),
            "ChargeDescription": f"{line.model}: platform service fee",
            "ConsumedQuantity": line.requests,
            "ConsumedUnit": "Requests",
            "SkuId": "service-fee",
        }
    if invoice.tax_nano:
        yield {
            **_common(invoice, invoice.period_start, invoice.tax_nano),
            "ChargeCategory": "Tax",
            "ChargeDescription": "Tax",
            "ChargeFrequency": "Usage-Based",
            "ServiceName": "TokenHub",
        }


def _usage(invoice: Invoice, line: InvoiceLine, cost_nano: int) -> dict[str, Any]:
    return {
        **_common(invoice, line.month, cost_nano),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "PricingCategory": "Standard",
        "PublisherName": line.provider,
        "RegionId": line.region,
        "RegionName": line.region,
        "ResourceId": line.model,
        "ServiceName": line.model,
    }


def _common(invoice: Invoice, month: date, cost_nano: int) -> dict[str, Any]:
    cost = usd_from_nano(cost_nano)
    return {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "ContractedCost": cost,
        "BillingAccountId": invoice.organization_id,
        "BillingAccountName": invoice.profile.get("organization", ""),
        "BillingCurrency": "USD",
        "BillingPeriodStart": _utc(invoice.period_start),
        "BillingPeriodEnd": _utc(invoice.period_end),
        "ChargePeriodStart": _utc(month),
        "ChargePeriodEnd": _utc(month_after(month)),
        "InvoiceId": invoice.number,
        "InvoiceIssuerName": "TokenHub",
        "ProviderName": "TokenHub",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
    }


def _utc(day: date) -> str:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
