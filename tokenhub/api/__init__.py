"""The REST API for automation (``/api/v1``): what the console does, for programs.

Where things are:

- ``urls``: every route. ``resources``: a module per resource with its objects and its operations.
- ``view``: the base of every operation, and ``operation``, which says once who may call it and how it is documented.
- ``authentication``: who is calling, as a ``Caller``. ``limits``: how often.
- ``idempotency``: once per ``Idempotency-Key``.
- ``problems``: errors as RFC 9457. ``fields``, ``pages``: money, ids, strict bodies, cursors.
- ``schema``: what OpenAPI cannot guess. ``explorer``: the page at ``/api/docs/``.

No rule of the business is here: each operation calls the service that the console calls.
"""
