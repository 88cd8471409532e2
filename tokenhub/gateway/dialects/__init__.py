"""Wire formats, without sockets: what a client may send, what a provider is sent, what its answer means."""
