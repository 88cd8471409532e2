"""Chunks that pass without being taken apart say what they would say if they were."""

import itertools
import json
from typing import Any

import pytest

from tokenhub.gateway.dialects.inbound.chat import parse
from tokenhub.gateway.dialects.passage_openai import Relay

THEIRS, OURS = "their-name-of-it", "deepseek-v3.2"
HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1}
# What a chunk may say beside its content, and where it may stand.
DELTAS = [
    {"content": "Hello"},
    {"content": 'model "model" and "usage":null}'},
    {"content": "x", "model": THEIRS},
    {"tool_calls": [{"index": 0, "function": {"arguments": '{"model":"a"}'}}]},
]
EXTRAS: list[dict[str, Any]] = [
    {},
    {"usage": None},
    {"system_fingerprint": "f", "usage": None},
    {"usage": None, "system_fingerprint": "f"},
    {"choices_of": {"model": THEIRS}},
]
SPACED, COMPACT = (", ", ": "), (",", ":")


def relay(include_usage: bool) -> Relay:
    asked = {
        "model": OURS,
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "stream_options": {"include_usage": include_usage},
    }
    return Relay(parse(json.dumps(asked).encode(), ""), OURS)


def event(chunk: dict[str, Any], separators: tuple[str, str]) -> bytes:
    return b"data: " + json.dumps(chunk, separators=separators).encode() + b"\n\n"


def chunk(delta: dict[str, Any], extra: dict[str, Any], *, model_first: bool) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": None}]
    if model_first:
        return {"model": THEIRS, **HEAD, "choices": choices, **extra}
    return {**HEAD, "model": THEIRS, "choices": choices, **extra}


@pytest.mark.parametrize("include_usage", [True, False])
@pytest.mark.parametrize("separators", [COMPACT, SPACED])
@pytest.mark.parametrize("model_first", [True, False])
def test_a_chunk_that_passes_is_changed_in_its_model_and_usage_alone(
    include_usage: bool, separators: tuple[str, str], model_first: bool
) -> None:
    passing = relay(include_usage)
    chunks = [
        chunk(delta, extra, model_first=model_first)
        for delta, extra in itertools.product(DELTAS, EXTRAS)
    ]

    frames = [passing.feed(event(one, separators)) for one in chunks]

    for one, (frame,) in zip(chunks, frames, strict=True):
        expected = {**one, "model": OURS}
        expected.pop("usage", None)
        if include_usage:
            expected["usage"] = None
        assert json.loads(frame.removeprefix(b"data: ")) == expected
        assert frame.endswith(b"}\n\n")


def test_plain_chunks_pass_untouched_and_everything_else_is_looked_at() -> None:
    passing = relay(include_usage=False)
    passing.feed(event(chunk({"content": "a"}, {}, model_first=False), SPACED))
    # Its spaces show that it was not written anew.
    more = event(chunk({"content": "b"}, {}, model_first=False), SPACED)

    (frame,) = passing.feed(more)

    assert frame == more.replace(THEIRS.encode(), OURS.encode())
    ending = chunk({}, {}, model_first=False)
    ending["choices"][0]["finish_reason"] = "stop"
    assert passing.feed(event(ending, SPACED)) == []


def test_a_name_inside_something_else_is_not_taken_for_the_models() -> None:
    passing = relay(include_usage=False)
    nested = {"meta": {"model": THEIRS}, **chunk({"content": "a"}, {}, model_first=False)}

    for _ in range(2):
        (frame,) = passing.feed(event(nested, COMPACT))

        said = json.loads(frame.removeprefix(b"data: "))
        assert (said["meta"]["model"], said["model"]) == (THEIRS, OURS)
