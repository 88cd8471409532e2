"""The words people read for the codes that programs read: units, rules, outcomes, errors."""

UNITS = {
    "input": "Input tokens",
    "cached_input": "Cached input tokens",
    "cache_write": "Cache write tokens",
    "cache_write_1h": "Cache write tokens, for an hour",
    "output": "Output tokens",
    "reasoning": "Reasoning tokens",
    "image": "Images",
    "video_second_720p": "Seconds of video, 720p",
    "video_second_1080p": "Seconds of video, 1080p",
}
# As heads of narrow columns.
SHORT_UNITS = {
    "input": "Input",
    "cached_input": "Cached input",
    "cache_write": "Cache write",
    "cache_write_1h": "Cache write, 1 h",
    "output": "Output",
    "reasoning": "Reasoning",
    "image": "Per image",
    "video_second_720p": "Per second, 720p",
    "video_second_1080p": "Per second, 1080p",
}
# What a narrow screen leaves out of a price list.
SECONDARY_UNITS = frozenset({"cached_input", "cache_write", "cache_write_1h", "reasoning"})
RULES = {
    "region_not_allowed": "Region not allowed",
    "provider_not_allowed": "Provider not allowed",
    "provider_denied": "Provider denied",
    "model_not_allowed": "Model not allowed",
    "model_denied": "Model denied",
    "requirement_missing": "Requirement not met",
    "pinned_elsewhere": "Another provider is pinned",
    "wrong_modality": "Another modality",
    "capability_missing": "Capability missing",
    "context_too_long": "Prompt too long",
    "dialect_unsupported": "Dialect not supported yet",
    "no_price": "No price in force",
    "retired": "Model retired",
    "down": "Not answering",
    "max_cost": "Can cost more than the request's max_cost",
}
# As short as a column of them is narrow.
POLICIES = {
    "zero_retention": "Zero retention",
    "no_training": "No training",
    "soc2": "SOC 2",
    "iso27001": "ISO 27001",
    "hipaa": "HIPAA",
    "gdpr_dpa": "GDPR DPA",
}
CAPABILITIES = {
    "tools": "Tools",
    "json": "JSON",
    "vision": "Vision",
    "reasoning": "Reasoning",
    "edits": "Editing",
}
OUTCOMES = {
    "succeeded": "Answered",
    "timeout": "Timed out",
    "connect_timeout": "Could not connect in time",
    "connect_error": "Could not connect",
    "tls_error": "No secure connection",
    "refused_address": "Address refused",
    "disconnected": "Connection broke",
    "invalid_response": "Not an HTTP answer",
    "malformed": "Malformed answer",
    "truncated": "Answer cut off",
    "empty": "Empty answer",
    "no_usage": "No usage reported",
    "invalid_usage": "Impossible usage reported",
    "unpriced_unit": "Usage without a price",
    "error_in_stream": "Error within the stream",
    "unsafe_url": "Result at an unsafe address",
    "media_unreachable": "Result could not be fetched",
    "withdrawn": "Withdrawn from the catalogue",
}
# What happened, and what to do about it. That nothing was charged, the page says itself.
ERRORS = {
    "model_not_found": "There is no model of that name. GET /v1/models lists what the key may call.",
    "outside_boundaries": "Nothing that offers the model is left inside the boundaries of the organization,"
    " the key and the request. The table below names the rule for each offering.",
    "insufficient_balance": "The available balance did not cover the request's highest possible cost."
    " Add money, or set a smaller max_tokens.",
    "key_budget_exceeded": "The key's own budget did not cover the request's highest possible cost. Raise it on"
    " the key's page, or wait until it begins anew.",
    "budget_exceeded": "The organization's budget of the month did not cover the request's highest possible cost."
    " Raise it on the budgets page, or wait for the next month.",
    "plan_required": "The model is part of a higher plan.",
    "insufficient_scope": "The key is not of the kind this call needs.",
    "organization_suspended": "The organization is suspended.",
    "rate_limit_exceeded": "More requests in a minute than the plan or the key allows. Try again shortly.",
    "providers_failed": "Every provider that was tried failed; the attempts below say how. Try again, or"
    " allow more providers.",
    "no_provider_available": "Inside the boundaries, but none was up. Try again shortly, or allow more"
    " providers or regions.",
    "service_unavailable": "We could not have billed it safely, so nothing was sent. Try again shortly.",
    "request_too_large": "The request is larger than is accepted.",
    "provider_failed": "The provider could not make the video.",
    "deadline_exceeded": "The provider did not make the video in time. Ask for it again, or allow more providers.",
    "creation_unknown": "Nobody can say whether a provider began the video. Ask for it again.",
    "invalid_request": "The request was not well formed; the answer named the field.",
}


def outcome(code: str) -> str:
    """An attempt's outcome in words."""
    if code.startswith("http_"):
        return f"HTTP {code.removeprefix('http_')}"
    return OUTCOMES.get(code, code.replace("_", " "))


def rule(code: str) -> str:
    """A routing rule in words."""
    return RULES.get(code, code.replace("_", " "))
