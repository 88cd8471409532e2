"""What can go wrong with keys, in sentences a person can act on."""


class ApiKeyError(Exception):
    """Base of this app's errors."""

    code = "invalid_key"


class InvalidKeyLimits(ApiKeyError):
    """A limit asked for a key makes no sense; ``field`` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class KeyNotActive(ApiKeyError):
    """What was asked needs a key that still works."""

    code = "key_not_active"


class StrongerThanItsMaker(ApiKeyError):
    """A key was to give another one more than it has itself."""

    code = "insufficient_scope"
