"""Invoices, credit notes and receipts as PDF. The same document gives the same bytes."""

from collections.abc import Sequence
from datetime import timedelta
from io import BytesIO
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from billing.models import Invoice, InvoiceLine, Receipt
from billing.money import usd_from_nano

INK, MUTED, RULE = (
    colors.HexColor("#1A1C1E"),
    colors.HexColor("#5A5D61"),
    colors.HexColor("#DAD6CB"),
)
LATIN, WIDE = "Helvetica", "STSong-Light"
UNIT_NAMES = {
    "input": "input tokens",
    "cached_input": "cached input tokens",
    "cache_write": "cache write tokens",
    "cache_write_1h": "cache write tokens for an hour",
    "output": "output tokens",
    "reasoning": "reasoning tokens",
    "image": "images",
    "cap": "limited to the amount held",
}
pdfmetrics.registerFont(UnicodeCIDFont(WIDE))


def invoice_pdf(invoice: Invoice) -> bytes:
    """An invoice or a credit note with its lines."""
    last_day = invoice.period_end - timedelta(days=1)
    period = f"{invoice.period_start:%d %b %Y} to {last_day:%d %b %Y}"
    facts = [
        ("Number", invoice.number),
        ("Issued", f"{invoice.issued_at:%d %b %Y}"),
        ("Period", period),
    ]
    if invoice.corrects is not None:
        facts.append(("Corrects", invoice.corrects.number))
    body: list[Flowable] = []
    if invoice.kind == Invoice.Kind.INVOICE:
        body += [_lines(list(invoice.lines.all())), Spacer(1, 6 * mm)]
    if invoice.reason:
        body += [_text(f"Reason: {invoice.reason}"), Spacer(1, 4 * mm)]
    body.append(
        _totals(
            [
                ("Model fees", invoice.model_fees_nano),
                ("Service fees", invoice.service_fees_nano),
                ("Tax", invoice.tax_nano),
                ("Total", invoice.total_nano),
            ]
        )
    )
    paid = (
        "Paid from the prepaid balance. Nothing is due."
        if invoice.kind == Invoice.Kind.INVOICE
        else "Credited to the prepaid balance."
    )
    return _document(
        invoice.get_kind_display(), facts, invoice.profile, [*body, Spacer(1, 6 * mm), _text(paid)]
    )


def receipt_pdf(receipt: Receipt) -> bytes:
    """That a card payment was received."""
    facts = [("Number", receipt.number), ("Received", f"{receipt.issued_at:%d %b %Y}")]
    body: list[Flowable] = [
        _totals(
            [(receipt.description, receipt.amount_nano), ("Total received", receipt.amount_nano)]
        ),
        Spacer(1, 6 * mm),
        _text("Paid by card through Stripe. This is not an invoice: use is invoiced by month."),
    ]
    return _document("Receipt", facts, receipt.profile, body)


def _document(
    title: str,
    facts: Sequence[tuple[str, str]],
    profile: dict[str, str],
    body: list[Flowable],
) -> bytes:
    out = BytesIO()
    page = SimpleDocTemplate(
        out, pagesize=A4, title=f"{title} {facts[0][1]}", author="TokenHub", invariant=1,
        leftMargin=20 * mm, rightMargin=20 * mm, topMargin=20 * mm, bottomMargin=20 * mm,
    )  # fmt: skip
    head = Table(
        [[_text("TokenHub", size=16), _text(title, size=16, align=2)]], colWidths=[85 * mm, 85 * mm]
    )
    lines = [
        profile.get("legal_name") or profile.get("organization", ""),
        profile.get("line1", ""),
        profile.get("line2", ""),
        " ".join(part for part in (profile.get("postal_code"), profile.get("city")) if part),
        profile.get("country", ""),
    ]
    more = [("Tax ID", profile.get("tax_id", "")), ("PO number", profile.get("po_number", ""))]
    left: list[Flowable] = [_text("Billed to", muted=True)]
    left += [_text(line) for line in lines if line]
    right = [_text(f"{name}: {value}", align=2) for name, value in [*facts, *more] if value]
    columns = Table([[left, right]], colWidths=[95 * mm, 75 * mm])
    columns.setStyle(
        TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, 0), 0)])
    )
    head.setStyle(
        TableStyle([("LEFTPADDING", (0, 0), (0, 0), 0), ("LINEBELOW", (0, 0), (-1, -1), 0.6, INK)])
    )
    page.build([head, Spacer(1, 6 * mm), columns, Spacer(1, 8 * mm), *body])
    return out.getvalue()


def _lines(lines: list[InvoiceLine]) -> Table:
    rows: list[list[Flowable]] = [
        [
            _text("Model", muted=True), _text("Requests", muted=True, align=2),
            _text("Model fee", muted=True, align=2), _text("Service fee", muted=True, align=2),
            _text("Total USD", muted=True, align=2),
        ]
    ]  # fmt: skip
    for line in lines:
        units = ", ".join(
            f"{part['count']:,} {UNIT_NAMES.get(part['unit'], part['unit'].replace('_', ' '))}"
            for part in line.components
        )
        what = [
            _text(line.model),
            _text(
                f"{line.provider} · {line.region} · {line.month:%b %Y}<br/>{escape(units)}",
                muted=True,
                markup=True,
            ),
        ]
        rows.append(
            [
                what,
                _text(f"{line.requests:,}", align=2),
                _text(_usd(line.model_fee_nano), align=2),
                _text(_usd(line.service_fee_nano), align=2),
                _text(_usd(line.total_nano), align=2),
            ]
        )
    table = Table(rows, colWidths=[66 * mm, 18 * mm, 29 * mm, 28 * mm, 29 * mm], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (-1, -1), 2),
            ]
        )
    )
    return table


def _totals(rows: list[tuple[str, int]]) -> Table:
    table = Table(
        [[_text(name), _text(f"{_usd(amount)} USD", align=2)] for name, amount in rows],
        colWidths=[110 * mm, 60 * mm],
    )
    table.setStyle(
        TableStyle(
            [("LINEABOVE", (0, -1), (-1, -1), 0.8, INK), ("LEFTPADDING", (0, 0), (0, -1), 0)]
        )
    )
    return table


def _text(
    words: str, *, size: float = 9.5, align: int = 0, muted: bool = False, markup: bool = False
) -> Paragraph:
    """Whatever people typed is text, never markup; and has a font that knows its letters."""
    font = (
        WIDE
        if any(ord(letter) > 0x24F and not 0x2000 <= ord(letter) <= 0x20CF for letter in words)
        else LATIN
    )
    style = ParagraphStyle(
        "text", fontName=font, fontSize=8.5 if muted else size, leading=(8.5 if muted else size) * 1.35,
        alignment=align, textColor=MUTED if muted else INK,
    )  # fmt: skip
    return Paragraph(words if markup else escape(words), style)


def _usd(amount_nano: int) -> str:
    whole, decimals = usd_from_nano(amount_nano).split(".")
    return f"{int(whole):,}.{decimals}" if whole != "-0" else f"-0.{decimals}"
