"""What a way from a client's dialect to a provider's can do."""

from collections.abc import Mapping
from typing import Protocol

from routing.types import Offering
from tokenhub.gateway.dialects.base import Completion
from tokenhub.gateway.dialects.request import TextRequest
from tokenhub.gateway.errors import GatewayError


class Relay(Protocol):
    """A provider's stream on its way to the client.

    Content goes out as it comes; the end of the answer is held back until it is paid for.
    """

    @property
    def has_content(self) -> bool:
        """Whether anything was said so far: from then on the client is committed to this provider."""

    def feed(self, data: bytes) -> list[bytes]:
        """Frames to forward now; ``InvalidResult`` where the stream is broken."""

    def finish(self) -> dict[str, int]:
        """The units used, once the body ended; ``InvalidResult`` where the answer is not complete."""

    def end(self, cost_usd: str) -> bytes:
        """The end of a finished answer, with what it cost."""

    def fault(self, error: GatewayError) -> bytes:
        """The end of an answer that broke: the protocol's own way to say an error in a stream."""


class Way(Protocol):
    """One way of asking a provider on behalf of a client."""

    path: str

    def headers(self, credential: str, request: TextRequest) -> Mapping[str, str]:
        """How the credential is presented, and what the provider's API wants beside it."""

    def request_body(self, request: TextRequest, offering: Offering) -> bytes:
        """The request for one offering; ``Inexpressible`` names what cannot be said."""

    def completion(self, body: bytes, request: TextRequest, public_model: str) -> Completion:
        """A plain answer for the client; ``InvalidResult`` where it is no complete, paid-for answer."""

    def relay(self, request: TextRequest, public_model: str) -> Relay:
        """A streamed answer for the client."""
