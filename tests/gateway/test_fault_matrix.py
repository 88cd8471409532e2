"""Every fault × {plain, stream} × {the first, second, third provider asked}: what happens is what ``docs/faults.md`` says.

The document is the expectation. ``WRITE_FAULTS=1`` runs the matrix and writes what it found; the
explanation of each fault stays as it is and must not be empty.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from billing.models import Usage
from billing.selectors import balance_of
from routing.models import OfferingHealth
from tests import factories, fault_tables
from tests.conftest import new_gateway
from tests.live import Gateway, Providers, marker
from tests.processes import BASE_DIR, Server, eventually
from tokenhub.stack.providers.faults import MODES

DOCUMENT = BASE_DIR / "docs" / "faults.md"
ORDER = ("novita", "azure", "deepinfra")
CREDIT = 1_000_000_000
FOR_EVER_MS = 60_000
KINDS = ("plain", "stream")


def used(prompt: Any, written: Any, **more: Any) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": written, **more}}


# name: mode and options. A fault of a stream strikes after ``after_chunks`` pieces of content.
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("ok", {}),
    **{f"status {status}": ("http_error", {"status": status}) for status in (
        400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529,
    )},
    "status 429, retry-after 1": ("http_error", {"status": 429, "retry_after": 1}),
    "status 503, retry-after 1": ("http_error", {"status": 503, "retry_after": 1}),
    "error page of a proxy, 502": ("html_error", {"status": 502}),
    "error page of a proxy, 200": ("html", {}),
    "redirect": ("redirect", {}),
    "connection reset": ("refuse", {}),
    "no answer": ("timeout", {}),
    "slow": ("slow", {"delay_ms": 20}),
    "slow head": ("slow_headers", {"delay_ms": 20}),
    "head without an end": ("slow_headers", {"delay_ms": FOR_EVER_MS}),
    "slow body": ("slow_body", {"delay_ms": 1}),
    "body without an end in time": ("slow_body", {"delay_ms": FOR_EVER_MS}),
    "keep-alives and nothing else": ("comments", {}),
    "stall before content": ("stall", {"after_chunks": 0}),
    "stall after content": ("stall", {"after_chunks": 3}),
    "disconnect before content": ("disconnect", {"after_chunks": 0}),
    "disconnect after content": ("disconnect", {"after_chunks": 3}),
    "truncated before content": ("truncate", {"after_chunks": 0}),
    "truncated after content": ("truncate", {"after_chunks": 3}),
    "malformed before content": ("malformed", {"after_chunks": 0}),
    "malformed after content": ("malformed", {"after_chunks": 3}),
    "empty": ("empty", {}),
    "head of 8 MB": ("big_headers", {}),
    "body of 200 MB": ("big_body", {}),
    "compressed": ("gzip", {}),
    "wrong content type": ("wrong_type", {}),
    "ends twice": ("double_done", {}),
    "100 and 103 before": ("early_hints", {}),
    "content-length is no number": ("bad_length", {}),
    "broken chunks": ("bad_chunk", {}),
    "no usage": ("no_usage", {}),
    "usage of zero": ("bad_usage", used(0, 0)),
    "usage without output": ("bad_usage", used(5, 0)),
    "usage negative": ("bad_usage", used(-1, 5)),
    "usage a fraction": ("bad_usage", used(1.5, 2)),
    "usage a string": ("bad_usage", used("5", 2)),
    "usage huge": ("bad_usage", used(10**15, 1)),
    "usage contradicts itself": ("bad_usage", used(5, 2, prompt_tokens_details={"cached_tokens": 9})),
    "usage beyond the hold": ("bad_usage", used(5_000, 60)),
}  # fmt: skip

HEAD = """# Faults

What becomes of a request when a provider fails, as `tests/gateway/test_fault_matrix.py` finds it; the test fails
where this page and the gateway differ, and `WRITE_FAULTS=1` writes the page anew. Three providers may be asked. Those
before the one with the fault reset the connection; a fault of the third is therefore the end.

A cell says the status, how many providers were tried, whether it was billed, and what the client saw.

| fault | answer | of the first | of the second | of the third | why |
|---|---|---|---|---|---|
"""


@pytest.fixture(scope="module")
def hasty(gateway_environ: dict[str, str]) -> Iterator[Server]:
    """A gateway that waits for a second only, and whose breaker no other test disturbs."""
    environ = {"TOKENHUB_PLAIN_TIMEOUT_S": "1", "TOKENHUB_STREAM_TIMEOUT_S": "1"}
    server = new_gateway(gateway_environ, **environ).start()
    yield server
    server.stop()


@pytest.fixture
def quick(committed: None, hasty: Server, providers: Providers) -> Iterator[Gateway]:
    yield Gateway(hasty.url, providers)
    providers.lift_faults()


def documented() -> dict[tuple[str, str], list[str]]:
    """The cells of the document by fault and kind: three of them and the explanation."""
    rows: dict[tuple[str, str], list[str]] = {}
    if DOCUMENT.exists():
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if len(cells) == 6 and cells[1] in KINDS:
                rows[cells[0], cells[1]] = cells[2:]
    return rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_as_the_document_says(
    quick: Gateway, fault: str, kind: str, record_property: Any
) -> None:
    # From the last to the first, so that those before are asked as rarely as can be.
    cells = [found(quick, fault, kind, place) for place in (2, 1, 0)][::-1]

    fault_tables.row(record_property, "text", fault, kind, *cells)
    if os.environ.get("WRITE_FAULTS"):
        write(fault, kind, cells)
    assert documented()[fault, kind][:3] == cells


def test_the_document_has_every_fault_there_is_and_explains_each() -> None:
    rows = documented()

    assert set(rows) == {(fault, kind) for fault in FAULTS for kind in KINDS}
    assert all(cells[3] for cells in rows.values())
    assert {mode for mode, _ in FAULTS.values()} == set(MODES)


def found(gateway: Gateway, fault: str, kind: str, place: int) -> str:
    """One cell: the fault at the provider that is asked at this place."""
    for _ in range(20):
        cell = tried(gateway, fault, kind, place)
        if cell is not None:
            return cell
        # What an earlier cell did to a provider came on record only now.
        healed = OfferingHealth.objects.filter(offering__endpoint__provider__slug__in=ORDER)
        healed.update(status="healthy", failures=0, successes=0)
    raise AssertionError("the providers were never asked in the order that was asked for")


def tried(gateway: Gateway, fault: str, kind: str, place: int) -> str | None:
    """The cell, or nothing where the providers were not asked in the order that was asked for."""
    others = factories.key(factories.organization(credit_nano=CREDIT)).secret
    for provider in ORDER:
        eventually(lambda p=provider: is_first(gateway, others, p), within_s=30, what=f"{provider} well")  # fmt: skip
    tenant = factories.organization(credit_nano=CREDIT)
    secret, name = factories.key(tenant).secret, marker()
    for provider in ORDER[:place]:
        gateway.providers.fault(provider, "refuse", contains=name)
    mode, options = FAULTS[fault]
    gateway.providers.fault(ORDER[place], mode, contains=name, **options)
    body = {"text": f"[[id={name}]]", "provider": {"order": list(ORDER)}}

    if kind == "stream":
        stream = gateway.stream(secret, **body, stream_options={"include_usage": True})
        response, content, saw = stream.response, " ".join(stream.events), _saw(stream)
    else:
        response = gateway.chat(secret, **body)
        content = response.text
        saw = "the answer" if response.status_code == 200 else response.json()["error"]["code"]

    gateway.providers.lift_faults()
    usage = eventually(lambda: Usage.objects.filter(organization=tenant).first(), what="the record")
    asked = [attempt["provider"] for attempt in usage.attempts]
    # Of every cell: nothing of the provider's leaks, and money adds up. A provider's words on the
    # client's own mistake are passed on, without our credential in them.
    passed_on = content.replace("secret-upstream", "") if response.status_code == 400 else content
    told = f"{response.headers} {passed_on}"
    assert not re.search(r"secret-upstream|sim-|set-cookie|'simulated|upstream=", told)
    assert balance_of(tenant).balance_nano == CREDIT - usage.total_nano
    assert usage.billed == (usage.total_nano > 0) == (saw == "the answer")
    assert len(set(asked)) == len(asked) <= 3
    if asked != list(ORDER[: len(asked)]):
        return None
    capped = ", as much as was held" if usage.capped else ""
    billed = f"billed{capped}" if usage.billed else "free"
    return f"{response.status_code}, {len(asked)} tried, {billed}: {saw}"


def is_first(gateway: Gateway, secret: str, provider: str) -> bool:
    """Whether a provider is asked first by an order that begins with it; calls that succeed heal it."""
    answer = gateway.chat(secret, provider={"order": [provider]})
    if answer.headers.get("x-tokenhub-provider") == provider:
        return True
    gateway.chat(secret, f"{provider}/deepseek-v3.2")
    return False


def _saw(stream: Any) -> str:
    if stream.response.status_code != 200:
        return str(stream.response.json()["error"]["code"])
    if stream.done:
        assert stream.events.count("[DONE]") == 1
        return "the answer"
    assert "error" in stream.chunks[-1]
    return "a part, then an error"


def write(fault: str, kind: str, cells: list[str]) -> None:
    rows = documented()
    rows[fault, kind] = [*cells, rows.get((fault, kind), [""] * 4)[3]]
    lines = [
        f"| {fault} | {kind} | {' | '.join(rows[fault, kind])} |"
        for fault in FAULTS
        for kind in KINDS
        if (fault, kind) in rows
    ]
    Path(DOCUMENT).write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
