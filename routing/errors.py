"""What can go wrong before a decision, and with preferences; in sentences a person can act on."""


class RoutingError(Exception):
    """Base of this app's errors."""

    code = "routing_error"


class UnknownModel(RoutingError):
    """No such model, provider/model or plan model."""

    code = "model_not_found"


class PlanRequired(RoutingError):
    """A plan model that the organization's plan does not include; ``plan`` is the lowest that does."""

    code = "plan_required"

    def __init__(self, plan: str) -> None:
        super().__init__(f"It needs the {plan} plan.")
        self.plan = plan


class PreferencesChanged(RoutingError):
    """They are not at the version that the change was meant for."""

    code = "precondition_failed"


class InvalidPreferences(RoutingError):
    """A preference that names what does not exist, or needs another plan; ``field`` says which."""

    code = "invalid_preferences"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
