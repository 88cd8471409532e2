"""What is answered: the right thing in the right dialect, where no fault keeps it from being so."""

from functools import partial
from typing import Any

import msgspec

from tokenhub.stack.providers import anthropic, dashscope, openai
from tokenhub.stack.providers.calls import FILE, Call, credential, form_of, task_of
from tokenhub.stack.providers.catalogue import Site
from tokenhub.stack.providers.delivery import Delivery
from tokenhub.stack.providers.faults import Fault
from tokenhub.stack.providers.server import Server
from tokenhub.stack.providers.wire import MP4


class Answers(Delivery):
    """One connection, as far as calls are answered on it."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def _answer(
        self,
        call: Call,
        shape: Any,
        site: Site,
        method: str,
        route: str,
        headers: dict[bytes, bytes],
        body: bytes,
        fault: Fault | None,
    ) -> None:
        if method == "GET" and route == "/health":
            self._finish(call, 200, b"{}")  # routers ask for it without a credential
            return
        known = f"sim-{site.slug}"
        presented = credential(headers)
        if presented != known and not presented.startswith(f"{known}-"):
            self._finish(call, 401, shape.error(401, "Incorrect API key provided."))
            return
        if method == "GET":
            self._get(call, shape, site, route, fault)
            return
        # Tests bring offerings of their own: what begins with “sim-” is offered everywhere.
        if call.model not in site.models and not call.model.startswith("sim-"):
            self._finish(call, 404, shape.error(404, f"The model `{call.model}` does not exist."))
            return
        try:
            if route == "/v1/chat/completions":
                self._openai_chat(call, site, body, fault)
            elif route == "/v1/messages":
                if b"anthropic-version" not in headers:
                    raise msgspec.ValidationError("anthropic-version: header is required")
                self._anthropic_messages(call, body, fault)
            else:
                self._others(call, shape, route, headers, body, fault)
        except (msgspec.DecodeError, ValueError, AttributeError, TypeError) as error:
            self._finish(call, 400, shape.error(400, str(error)))

    def _get(self, call: Call, shape: Any, site: Site, route: str, fault: Fault | None) -> None:
        if route == "/v1/models":
            data = [{"id": name, "object": "model", "owned_by": site.slug} for name in site.models]
            self._finish(call, 200, msgspec.json.encode({"object": "list", "data": data}))
            return
        task = self._server.tasks.get(task_of(route))
        empty = fault is not None and fault.mode == "empty"
        if task is None:
            self._finish(call, 404, shape.error(404, "not found"))
        elif route.startswith("/api/v1/tasks/"):
            used = partial(_used, fault=fault)
            answer = dashscope.polled(task, self._server.url, empty=empty, used=used)
            self._plain(call, answer, fault)
        elif route.endswith("/content"):
            call.status = 200
            call.completed = True
            self._write(200, MP4, b"video/mp4")
        else:
            self._plain(call, openai.video(task, empty=empty), fault)

    def _openai_chat(self, call: Call, site: Site, body: bytes, fault: Fault | None) -> None:
        request = openai.parse(body)
        made = openai.chat_reply(request, self._server.cache, f"{site.slug}/{site.region}")
        if fault is not None and fault.mode == "empty":
            made.pieces, made.reasoning, made.tools = [], [], []
        call.usage = openai.usage(made, request.n or 1)
        used = _used(call.usage, fault)
        if request.stream:
            call.stream = True
            self._stream(call, openai.chat_events(request, made, used, call.id), fault)
        else:
            self._plain(call, openai.chat(request, made, used, call.id), fault)

    def _anthropic_messages(self, call: Call, body: bytes, fault: Fault | None) -> None:
        request = anthropic.parse(body)
        made = anthropic.message_reply(request)
        if fault is not None and fault.mode == "empty":
            made.pieces, made.reasoning, made.tools = [], [], []
        call.usage = anthropic.usage(made)
        used = _used(call.usage, fault)
        if request.stream:
            call.stream = True
            self._stream(call, anthropic.message_events(request, made, used, call.id), fault)
        else:
            self._plain(call, anthropic.message(request, made, used, call.id), fault)

    def _others(
        self,
        call: Call,
        shape: Any,
        route: str,
        headers: dict[bytes, bytes],
        body: bytes,
        fault: Fault | None,
    ) -> None:
        form = headers.get(b"content-type", b"").startswith(b"multipart/")
        given: dict[str, Any] = form_of(body) if form else msgspec.json.decode(body)
        empty = fault is not None and fault.mode == "empty"
        used = partial(_used, fault=fault)
        if route == "/v1/messages/count_tokens":
            request = anthropic.parse(msgspec.json.encode({"max_tokens": 1, **given}))
            count = anthropic.message_reply(request).prompt_tokens
            self._finish(call, 200, msgspec.json.encode({"input_tokens": count}))
        elif route == "/v1/embeddings":
            answer, call.usage = openai.embeddings(given, empty=empty, used=used)
            self._plain(call, answer, fault)
        elif route in ("/v1/images/generations", "/v1/images/edits"):
            pictures = len(FILE.findall(body)) if form else 0
            answer, call.usage = openai.images(
                given, self._server.url, empty=empty, used=used, pictures=pictures
            )
            self._plain(call, answer, fault)
        elif route.endswith("/multimodal-generation/generation"):
            answer, call.usage = dashscope.images(
                given, self._server.url, call.id, empty=empty, used=used
            )
            self._plain(call, answer, fault)
        elif route.endswith("/video-generation/video-synthesis"):
            if headers.get(b"x-dashscope-async") != b"enable":
                raise ValueError("current user api does not support synchronous calls")
            task = dashscope.new_task(given, body, call.id)
            self._server.tasks[task.id] = task
            self._plain(call, dashscope.created(task, empty=empty), fault)
        elif route == "/v1/videos":
            task = openai.new_video(given, body, call.id)
            self._server.tasks[task.id] = task
            self._plain(call, openai.video(task, empty=empty, fresh=True), fault)
        else:
            self._finish(call, 404, shape.error(404, "not found"))


def _used(exact: Any, fault: Fault | None) -> Any:
    if fault is not None and fault.mode == "no_usage":
        return None
    if fault is not None and fault.mode == "bad_usage":
        return fault.usage
    return exact
