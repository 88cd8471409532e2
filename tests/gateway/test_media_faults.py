"""Every fault × {a picture, the beginning of a video} × {the first provider, all three}: status, attempts, billed or not.

The table is printed as it is found; a cell that differs fails. A video's charge is that of its task's end.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from billing.audit import audit
from billing.models import Usage
from billing.selectors import balance_of
from tests import factories, fault_tables
from tests.conftest import new_gateway
from tests.live import Gateway, Providers, marker
from tests.processes import Server, eventually
from tokenhub.gateway.media.follow import follow
from tokenhub.stack.providers.faults import MODES

CREDIT = 10_000_000_000
FOR_EVER_MS = 60_000
SPARES = 6
HEAVY = {"big_headers", "big_body"}
PLACES = [("alibaba", "sg", "dashscope"), ("azure", "eu", "openai"), ("novita", "us", "openai")]
ORDER = [slug for slug, _, _ in PLACES]
PATHS = {"picture": "images/generations", "video": "video/generations"}
AMOUNTS = {"picture": {"image": 30_000_000}, "video": {"video_second_720p": 100_000_000}}
MODALITIES = {"picture": "image", "video": "video"}

# The next provider answers; the client is told of its mistake; nothing is wrong.
NEXT = ("200, 2 tried, billed", "502, 3 tried, free")
CLIENT = ("400, 1 tried, free", "400, 1 tried, free")
FINE = ("200, 1 tried, billed", "200, 1 tried, billed")
# name: mode, options, and what is to be found with the fault at the first provider and at all of them.
FAULTS: dict[str, tuple[str, dict[str, Any], tuple[str, str]]] = {
    "none": ("ok", {}, FINE),
    **{
        f"status {status}": ("http_error", {"status": status}, CLIENT) for status in (400, 413, 422)
    },
    **{
        f"status {status}": ("http_error", {"status": status}, NEXT)
        for status in (401, 402, 404, 408, 429, 500, 503)
    },
    "error page of a proxy, 502": ("html_error", {"status": 502}, NEXT),
    "error page of a proxy, 200": ("html", {}, NEXT),
    "redirect": ("redirect", {}, NEXT),
    "connection reset": ("refuse", {}, NEXT),
    "no answer": ("timeout", {}, NEXT),
    "slow": ("slow", {"delay_ms": 20}, FINE),
    "head without an end": ("slow_headers", {"delay_ms": FOR_EVER_MS}, NEXT),
    "body without an end in time": ("slow_body", {"delay_ms": FOR_EVER_MS}, NEXT),
    "stall": ("stall", {}, NEXT),
    "disconnect": ("disconnect", {}, NEXT),
    "truncated": ("truncate", {}, NEXT),
    "malformed": ("malformed", {}, NEXT),
    "empty": ("empty", {}, NEXT),
    "head of 8 MB": ("big_headers", {}, NEXT),
    "body of 200 MB": ("big_body", {}, NEXT),
    "compressed": ("gzip", {}, NEXT),
    # The pictures are counted, and a video's seconds are those asked for: no word of the provider is needed.
    "no usage": ("no_usage", {}, FINE),
    "usage negative": ("bad_usage", {"usage": {"image_count": -1}}, FINE),
    "wrong content type": ("wrong_type", {}, FINE),
    # Faults of streams, of which there is none here: the simulated provider then says nothing.
    "keep-alives of a stream": ("comments", {}, NEXT),
    "a stream that ends twice": ("double_done", {}, NEXT),
    "100 and 103 before": ("early_hints", {}, FINE),
    "content-length is no number": ("bad_length", {}, NEXT),
    "broken chunks": ("bad_chunk", {}, NEXT),
}


def model_of(fault: str, kind: str) -> str:
    """Each cell has a model of its own: what one fails with is not held against another."""
    return f"sim-{kind}-{list(FAULTS).index(fault)}"


def spare(number: int, kind: str) -> str:
    """A model for a cell that is looked at again."""
    return f"sim-{kind}-again-{number}"


@pytest.fixture(scope="module")
def hasty(
    catalogue: None, providers: Providers, gateway_environ: dict[str, str], django_db_blocker: Any
) -> Iterator[Server]:
    """A gateway that waits for three seconds only, with a model for each cell."""
    models = [(model_of(fault, kind), kind) for fault in FAULTS for kind in PATHS]
    models += [(spare(number, kind), kind) for number in range(SPARES) for kind in PATHS]
    with django_db_blocker.unblock():
        for model, kind in models:
            for place in PLACES:
                factories.offering(
                    model, MODALITIES[kind], place, providers.url, amounts=AMOUNTS[kind]
                )
        connections.close_all()
    server = new_gateway(
        gateway_environ, TOKENHUB_PLAIN_TIMEOUT_S="3", TOKENHUB_STREAM_TIMEOUT_S="3"
    ).start()
    yield server
    server.stop()
    with django_db_blocker.unblock():
        for model, _ in models:
            factories.withdraw(model)
        connections.close_all()


@pytest.fixture(scope="module")
def table(
    hasty: Server, providers: Providers, django_db_blocker: Any
) -> dict[tuple[str, str], tuple[str, str]]:
    """Every cell, found several at a time: most of them wait for somebody who never answers."""
    gateway = Gateway(hasty.url, providers)
    rows = [(fault, kind) for fault in FAULTS for kind in PATHS]

    def row(place: tuple[str, str], model: str = "") -> tuple[str, str]:
        model = model or model_of(*place)
        try:
            first = found(gateway, *place, ORDER[:1], model)
            return first, found(gateway, *place, ORDER, model)
        finally:
            connections.close_all()

    with django_db_blocker.unblock(), override_settings(TASK_POLL_S=0.1), following():
        # What keeps the provider busy goes alone: beside it, others would seem slow.
        heavy = [place for place in rows if FAULTS[place[0]][0] in HEAVY]
        light = [place for place in rows if place not in heavy]
        with ThreadPoolExecutor(6) as pool:
            cells = dict(zip(light, pool.map(row, light), strict=True))
        cells |= {place: row(place) for place in heavy}
        # On a busy machine anybody may be slow for once: what differs is looked at again, alone.
        differs = [place for place in rows if cells[place] != FAULTS[place[0]][2]]
        for number, place in enumerate(differs[:SPARES]):
            cells[place] = row(place, spare(number, place[1]))
    providers.lift_faults()
    return cells


@contextmanager
def following() -> Iterator[None]:
    """Somebody follows videos to their end."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.1):
            follow()
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_as_the_table_says(
    table: dict[tuple[str, str], tuple[str, str]], fault: str, kind: str, record_property: Any
) -> None:
    cells = table[fault, kind]

    fault_tables.row(record_property, "media", fault, kind, *cells)
    assert cells == FAULTS[fault][2]


def test_the_table_has_every_fault_there_is() -> None:
    assert {mode for mode, _, _ in FAULTS.values()} == set(MODES)


def found(gateway: Gateway, fault: str, kind: str, faulty: list[str], model: str) -> str:
    """One cell."""
    mode, options, _ = FAULTS[fault]
    tenant = factories.organization(credit_nano=CREDIT)
    secret, name = factories.key(tenant).secret, marker()
    for provider in faulty:
        gateway.providers.fault(provider, mode, contains=name, method="POST", **options)

    body = {
        "model": model,
        "prompt": f"A fox [[id={name}]]",
        "provider": {"order": ORDER},
    }
    response = gateway.post(secret, PATHS[kind], body)

    # A video's is written at its end, and a failure's by nobody who is waited for.
    usage = eventually(
        lambda: Usage.objects.filter(organization=tenant).first(), within_s=30, what="its record"
    )
    asked = {
        call["provider"]
        for call in gateway.providers.calls(marker=name)
        if not {"tasks", "videos"} & set(call["path"].split("/")[:-1])
    }
    assert "secret-upstream-detail" not in response.text or response.status_code == 400
    assert "sim-alibaba" not in response.text
    assert len(usage.attempts) == len(asked)
    spent = CREDIT - balance_of(tenant).balance_nano
    assert spent == (usage.total_nano if usage.billed else 0)
    assert [found for found in audit(tenant) if "task" in found.check] == []
    word = "billed" if spent else "free"
    return f"{response.status_code}, {len(asked)} tried, {word}"
