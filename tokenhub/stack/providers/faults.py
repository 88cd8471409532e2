"""Faults on demand.

``PUT /_control/faults`` takes ``{"provider", "mode", …}`` and optionally ``region``, ``model``,
``method`` (``GET`` are the polls of tasks, which have their creation's model and text),
``contains`` (only calls whose body has this text, so that tests do not disturb each other),
``credential`` (only calls that present it), ``times`` (how many calls; absent means until changed),
``status``, ``retry_after`` (seconds, a header of ``http_error``), ``delay_ms``, ``after_chunks``, ``usage``.

mode         what happens
``ok``         the fault of this provider (and these limits) is lifted
``http_error`` an error of ``status`` (500) in the provider's own shape
``timeout``    the call is taken and never answered
``refuse``     the connection is reset without a byte
``disconnect`` the connection is reset in the middle of the answer (of a stream, after ``after_chunks``)
``truncate``   the answer ends early but in good order: half a body, or a stream without its end
``malformed``  what should be JSON is not
``no_usage``   the answer does not say what it used
``empty``      the answer has the right shape and nothing in it
``slow``       ``delay_ms`` before the first byte and between the pieces of a stream
``bad_usage``  the answer says it used ``usage``, whatever that is
``redirect``   a 302 to another address
``html``       an error page of a proxy, with status 200
``html_error`` likewise, with ``status``
``slow_headers`` half of the answer's head, and the rest after ``delay_ms``
``slow_body``  the answer a few bytes at a time, ``delay_ms`` between them
``stall``      half of the answer (of a stream, ``after_chunks``), then nothing, and the connection stays
``comments``   a stream that says it is alive, again and again, and never says more
``big_headers`` a head of several megabytes
``big_body``   an answer that does not end
``gzip``       the answer compressed, though nobody asked for it
``wrong_type`` the right answer, called ``text/plain``
``double_done`` a stream that ends twice, with more after its first end
``early_hints`` 100 and 103 before the answer
``bad_length`` a ``content-length`` that is no number
``bad_chunk``  a body whose chunks are not
"""

from typing import Any

import msgspec

MODES = (
    "ok", "http_error", "timeout", "refuse", "disconnect", "truncate", "malformed", "no_usage",
    "empty", "slow", "bad_usage", "redirect", "html", "html_error", "slow_headers", "slow_body", "stall",
    "comments", "big_headers", "big_body", "gzip", "wrong_type", "double_done", "early_hints", "bad_length",
    "bad_chunk",
)  # fmt: skip


class Fault(msgspec.Struct, omit_defaults=True):
    """One fault and which calls it hits."""

    provider: str
    mode: str
    region: str | None = None
    model: str | None = None
    contains: str | None = None
    method: str | None = None
    credential: str | None = None
    status: int = 500
    retry_after: int | None = None
    delay_ms: int = 200
    after_chunks: int = 1
    times: int | None = None
    usage: Any = None

    def same_target(self, other: "Fault") -> bool:
        """Whether it replaces another."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("provider", "region", "model", "contains", "method", "credential")
        )


class Faults:
    """The faults that are set, the most recent first."""

    def __init__(self) -> None:
        self.active: list[Fault] = []

    def put(self, fault: Fault) -> None:
        """Set a fault, or lift one with mode ``ok``."""
        self.active = [other for other in self.active if not other.same_target(fault)]
        if fault.mode != "ok":
            self.active.insert(0, fault)

    def take(
        self,
        provider: str,
        region: str,
        model: str,
        body: bytes,
        method: str = "POST",
        credential: str = "",
    ) -> Fault | None:
        """The fault that hits this call, counted."""
        for fault in self.active:
            if (
                fault.provider in (provider, "*")
                and fault.region in (None, region)
                and fault.model in (None, model)
                and fault.method in (None, method)
                and fault.credential in (None, credential)
                and (fault.contains is None or fault.contains.encode() in body)
            ):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.active.remove(fault)
                return fault
        return None
