"""A program that calls ``/api/v1`` with a management key."""

import json
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from accounts.audit import SYSTEM
from accounts.models import Organization
from accounts.roles import Role
from keys.services import mint
from tests import factories

SCOPES = ("read", "write", "billing")


@dataclass
class Program:
    """Calls as a program would; ``secret`` empty sends no credential."""

    tenant: Organization
    secret: str = field(repr=False)
    client: Client = field(default_factory=Client)

    @classmethod
    def of(
        cls, tenant: Organization, *scopes: str, role: str = Role.OWNER, **limits: Any
    ) -> "Program":
        """One whose key somebody with a role has made."""
        minted = mint(
            tenant, "automation", kind="management", actor=SYSTEM, scopes=scopes or SCOPES,
            created_by=factories.member(tenant, role), **limits,
        )  # fmt: skip
        return cls(tenant, minted.secret)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request; ``headers`` with underscores for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.secret:
            named.setdefault("Authorization", f"Bearer {self.secret}")
        return self.client.generic(
            method, f"/api/v1/{path}", b"" if body is None else json.dumps(body).encode(),
            content_type="application/json", headers=named,
        )  # fmt: skip

    def get(self, path: str, **headers: str) -> Any:
        """GET."""
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """POST."""
        return self.call("POST", path, {} if body is None else body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        """PATCH."""
        return self.call("PATCH", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        """PUT."""
        return self.call("PUT", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        """DELETE."""
        return self.call("DELETE", path, **headers)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem in an answer, checked for its shape."""
    assert answer.status_code == status, answer.content
    assert answer["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert set(found) >= {
        "type", "title", "status", "detail", "instance", "code", "request_id", "errors",
    }  # fmt: skip
    assert (found["status"], found["code"]) == (status, code)
    assert found["type"].endswith(f"/docs/rest-api/#{code}")
    assert found["request_id"] == answer["x-request-id"]
    return found
