"""A request as code to send again: everything but the prompt, which is stored nowhere."""

import json
from dataclasses import dataclass
from typing import Any

from billing.models import Usage

SAY = "your prompt here"


@dataclass(frozen=True, slots=True)
class Sample:
    """The same call in one language."""

    id: str
    language: str
    code: str


def samples(usage: Usage, base_url: str) -> list[Sample]:
    """The call in three languages, by the endpoint of its kind of model."""
    route, method, body = _call(usage)
    spelled = json.dumps(body, indent=2)
    if method:
        arguments = "".join(f"    {name}={value!r},\n" for name, value in body.items())
        python = f"{method}(\n{arguments})"
        javascript = f"{method}({spelled})"
    else:  # an endpoint that OpenAI does not have
        python = f'post(\n    "/{route}",\n    cast_to=object,\n    body={body!r},\n)'
        javascript = f'post("/{route}", {{ body: {spelled} }})'
    quoted = spelled.replace("'", "'\\''")
    return [
        Sample(
            "curl", "curl",
            f"curl {base_url}/v1/{route} \\\n"
            '  -H "Authorization: Bearer $TOKENHUB_API_KEY" \\\n'
            '  -H "Content-Type: application/json" \\\n'
            f"  -d '{quoted}'",
        ),
        Sample(
            "python", "Python",
            "import os\n\nfrom openai import OpenAI\n\n"
            f'client = OpenAI(base_url="{base_url}/v1", api_key=os.environ["TOKENHUB_API_KEY"])\n'
            f"answer = client.{python}",
        ),
        Sample(
            "javascript", "JavaScript",
            'import OpenAI from "openai";\n\n'
            f'const client = new OpenAI({{ baseURL: "{base_url}/v1", apiKey: process.env.TOKENHUB_API_KEY }});\n'
            f"const answer = await client.{javascript};",
        ),
    ]  # fmt: skip


def _call(usage: Usage) -> tuple[str, str, dict[str, Any]]:
    """Route, method of OpenAI's client if it has one, and body."""
    name = usage.model_requested
    if usage.modality == "image":
        return "images/generations", "images.generate", {"model": name, "prompt": SAY}
    if usage.modality == "embedding":
        return "embeddings", "embeddings.create", {"model": name, "input": SAY}
    if usage.modality == "video":
        return "video/generations", "", {"model": name, "prompt": SAY, "duration": 5}
    body: dict[str, Any] = {"model": name, "messages": [{"role": "user", "content": SAY}]}
    if usage.stream:
        body["stream"] = True
    return "chat/completions", "chat.completions.create", body
