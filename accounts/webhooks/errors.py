"""What can go wrong with webhooks, in sentences a person can act on."""

from accounts.errors import AccountError


class InvalidEndpoint(AccountError):
    """An endpoint that cannot be; ``field`` says what about it."""

    code = "invalid_endpoint"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
