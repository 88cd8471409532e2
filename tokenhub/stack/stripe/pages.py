"""The hosted pages' HTML: a form that works without JavaScript, in light and dark."""

from dataclasses import dataclass, field
from html import escape

from tokenhub.stack.stripe.cards import CARDS

# No form-action here: browsers would hold it against the redirect back to the shop.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"
_STYLE = """
:root{color-scheme:light dark;--ink:#1a1f36;--soft:#4f566b;--line:#8792a2;--page:#f6f8fa;--box:#fff;
--act:#4b3bd6;--on:#fff;--bad:#a3122a;--badbox:#fdecef}
@media(prefers-color-scheme:dark){:root{--ink:#f1f3f7;--soft:#b6becb;--line:#7b8698;--page:#12151c;
--box:#1b202a;--act:#a99bff;--on:#12151c;--bad:#ff9dac;--badbox:#3a1a20}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:30rem;margin:2rem auto;padding:1.5rem;background:var(--box);border-radius:12px;
border:1px solid var(--line)}
h1{font-size:1.1rem;margin:0}
h2{font-size:1.1rem;margin:1.25rem 0 .25rem}
.amount{font-size:2.2rem;font-weight:650;margin:.25rem 0}
.note,.soft{color:var(--soft);margin:.25rem 0}
.note{font-size:.9rem;border-bottom:1px solid var(--line);padding-bottom:.75rem;margin-bottom:1rem}
.bad{color:var(--bad);background:var(--badbox);border-radius:8px;padding:.75rem 1rem}
ul{list-style:none;margin:.5rem 0;padding:0}
li{display:flex;justify-content:space-between;gap:1rem}
fieldset{border:0;margin:1.25rem 0 0;padding:0}
legend{font-weight:600;padding:0}
.card{display:flex;gap:.6rem;align-items:center;padding:.55rem 0;min-height:44px}
.card small{display:block;color:var(--soft);font-size:.85rem}
input[type=radio]{width:1.15rem;height:1.15rem;accent-color:var(--act)}
.text{display:block;width:100%;font:inherit;color:inherit;background:var(--page);padding:.6rem;
border:1px solid var(--line);border-radius:8px;margin-top:.25rem}
.row{display:flex;gap:.75rem;margin-top:1.25rem}
button,.button{flex:1;font:inherit;font-weight:600;min-height:44px;border-radius:8px;cursor:pointer;
border:1px solid var(--act);background:var(--act);color:var(--on);text-align:center;padding:.6rem;
text-decoration:none}
button.second{background:transparent;color:var(--act)}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}
"""


@dataclass(frozen=True)
class Answer:
    """What a browser gets."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OfferLine:
    """A thing that is sold; ``interval`` when it is charged again."""

    name: str
    quantity: int
    amount: int
    interval: str | None


@dataclass(frozen=True)
class Offer:
    """What a page is about: the amount in cents that is charged now, or None to save a card."""

    mode: str
    amount: int | None
    description: str | None
    lines: list[OfferLine]


def dollars(cents: int) -> str:
    """``$1,234.50``."""
    return f"${cents / 100:,.2f}"


def redirect(url: str) -> Answer:
    """Send the browser on with GET."""
    return Answer(303, "", {"Location": url})


def _document(status: int, title: str, content: str) -> Answer:
    body = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{escape(title)} · Simulated payment</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<p class="note"><strong>Simulation.</strong> This page stands in for Stripe. No real card is
charged and no money moves.</p>
{content}
</main>
</body>
</html>
"""
    return Answer(
        status,
        body,
        {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": _POLICY,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
        },
    )


def notice(status: int, title: str, message: str, back: str | None = None) -> Answer:
    """A page that only says something, with a way back to the shop."""
    link = (
        f'<div class="row"><a class="button" href="{escape(back)}">Back to the shop</a></div>'
        if back
        else ""
    )
    return _document(status, title, f"<h1>{escape(title)}</h1>\n<p>{escape(message)}</p>\n{link}")


def form(status: int, offer: Offer, problem: str | None = None) -> Answer:
    """The page to choose a card at and pay; ``problem`` is why it did not work before."""
    button = {
        "setup": "Save card",
        "subscription": "Subscribe",
    }.get(offer.mode, f"Pay {dollars(offer.amount or 0)}")
    alert = f'<p class="bad" role="alert">{escape(problem)}</p>' if problem else ""
    content = f"""{_heading(offer)}
{alert}
<form method="post" autocomplete="off">
<fieldset>
<legend>Test card</legend>
{_choices()}
</fieldset>
<label for="card-number">Or a test card's number</label>
<input class="text" id="card-number" name="card" type="text" inputmode="numeric" maxlength="23">
<div class="row">
<button name="action" value="pay">{button}</button>
<button class="second" name="action" value="cancel">Cancel</button>
</div>
</form>"""
    return _document(status, _title(offer), content)


def authentication(offer: Offer) -> Answer:
    """The bank's question to the card's owner."""
    content = f"""{_heading(offer)}
<h2>Authenticate</h2>
<p>The card's bank asks whether it is you who pays.</p>
<form method="post">
<div class="row">
<button name="action" value="complete">Complete</button>
<button class="second" name="action" value="fail">Fail</button>
</div>
</form>"""
    return _document(200, "Authenticate", content)


def _title(offer: Offer) -> str:
    return {"setup": "Save a card", "subscription": "Subscribe"}.get(offer.mode, "Pay")


def _heading(offer: Offer) -> str:
    parts = [f"<h1>{_title(offer)}</h1>"]
    if offer.amount is not None:
        parts.append(f'<p class="amount">{dollars(offer.amount)}</p>')
    if offer.description:
        parts.append(f'<p class="soft">{escape(offer.description)}</p>')
    if offer.lines:
        parts.append("<ul>" + "".join(map(_line, offer.lines)) + "</ul>")
    if offer.amount is not None and offer.mode == "subscription":
        full = sum(line.amount for line in offer.lines)
        if full != offer.amount:
            parts.append('<p class="soft">The first period is charged in part.</p>')
    return "\n".join(parts)


def _line(line: OfferLine) -> str:
    count = f"{line.quantity} × " if line.quantity != 1 else ""
    every = f" each {line.interval}" if line.interval else ""
    return f"<li><span>{count}{escape(line.name)}</span><span>{dollars(line.amount)}{every}</span></li>"


def _choices() -> str:
    chosen = " checked"  # the first card, which succeeds
    rows = []
    for card in CARDS.values():
        spaced = " ".join(card.number[start : start + 4] for start in range(0, 16, 4))
        rows.append(
            f'<label class="card"><input type="radio" name="card" value="{card.number}"{chosen}>'
            f"<span>{spaced}<small>{escape(card.label)}</small></span></label>"
        )
        chosen = ""
    return "\n".join(rows)
