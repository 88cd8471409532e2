"""What can go wrong with people and organizations, in sentences a person can act on."""


class AccountError(Exception):
    """Base of this app's errors."""

    code = "account_error"


class InvalidName(AccountError):
    """A name that cannot be used."""

    code = "invalid_name"


class NotAllowed(AccountError):
    """Something that a role does not allow, or that would leave an organization without an owner."""

    code = "not_allowed"


class InvitationUnusable(AccountError):
    """An invitation that is over, or for somebody else."""

    code = "invitation_unusable"


class CannotClose(AccountError):
    """Something has to end before an organization can."""

    code = "cannot_close"
