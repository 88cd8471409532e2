"""The HTTP/1.1 client of the gateway: pooled connections on httptools, deadlines, bounded memory, backpressure."""

from tokenhub.gateway.upstream.client import Client
from tokenhub.gateway.upstream.connection import UpstreamError
from tokenhub.gateway.upstream.pool import Origin, Pool, Response

__all__ = ["Client", "Origin", "Pool", "Response", "UpstreamError"]
