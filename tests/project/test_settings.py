"""Production refuses to start with what is missing or dangerous, and names the variable."""

import subprocess
import sys
from typing import Any

import pytest

from tests.processes import BASE_DIR
from tokenhub.web import checks

GOOD = {
    "DEBUG": "0", "SECRET_KEY": "s" * 60, "FIELD_ENCRYPTION_KEYS": "k" * 43 + "=",
    "DATABASE_URL": "postgres://db/tokenhub", "REDIS_URL": "redis://cache/0", "ALLOWED_HOSTS": "tokenhub.example",
    "PUBLIC_URL": "https://tokenhub.example", "EMAIL_URL": "smtp://mail:25", "CSRF_TRUSTED_ORIGINS": "https://tokenhub.example",
    "PATH": "/usr/bin:/bin",
}  # fmt: skip


def start(**environ: str) -> str:
    """What importing the settings says, or nothing where they are fine."""
    done = subprocess.run(
        [sys.executable, "-c", "import tokenhub.settings"],
        env={**GOOD, **environ}, cwd=BASE_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def test_a_whole_environment_is_accepted() -> None:
    assert start() == ""
    assert start(STRIPE_SECRET_KEY="sk_live_x", STRIPE_WEBHOOK_SECRET="whsec_x") == ""


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"STRIPE_API_BASE": "http://127.0.0.1:9"}, "STRIPE_API_BASE"),
        ({"STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}, "STRIPE_SECRET_KEY"),
        ({"STRIPE_SECRET_KEY": "rk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}, "STRIPE_SECRET_KEY"),
        ({"STRIPE_SECRET_KEY": "sk_live_x"}, "STRIPE_WEBHOOK_SECRET"),
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"FIELD_ENCRYPTION_KEYS": ""}, "FIELD_ENCRYPTION_KEYS"),
    ],
)  # fmt: skip
def test_what_is_missing_or_dangerous_is_named(environ: dict[str, str], named: str) -> None:
    assert named in start(**environ)


def check(**environ: str) -> str:
    """What ``check --deploy`` says of an environment, with its ids."""
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env={**READY, **environ}, cwd=BASE_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert bool(done.returncode) == ("tokenhub." in done.stderr or "security." in done.stderr), done.stderr  # fmt: skip
    return done.stderr


READY = {
    **GOOD, "SECRET_KEY": "a-Secret0key_of-many+characters!" * 2, "FIELD_ENCRYPTION_KEYS": "k" * 43 + "=",
    "METRICS_TOKEN": "m" * 32, "STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x",
    "SENTRY_DSN": "https://key@sentry.example/1", "DEFAULT_FROM_EMAIL": "no-reply@hub.example", "CONTACT_EMAIL": "help@hub.example",
}  # fmt: skip


def test_a_whole_deployment_passes_every_check_of_django_and_of_ours() -> None:
    assert check() == ""


WELL = {
    "DEBUG": False, "PUBLIC_URL": "https://tokenhub.example", "ALLOWED_HOSTS": ["tokenhub.example"], "REDIS_URL": "redis://cache/0",
    "SECRET_KEY": READY["SECRET_KEY"], "FIELD_ENCRYPTION_KEYS": ["k" * 43 + "="], "METRICS_TOKEN": "m" * 32,
    "EGRESS_ALLOW_LOOPBACK": False, "DEMO": False, "ADMIN_REQUIRES_MFA": True, "EMAIL_URL": "smtp://mail:25", "STRIPE_SECRET_KEY": "sk_live_x",
    "SENTRY_DSN": "https://key@sentry.example/1", "DEFAULT_FROM_EMAIL": "no-reply@hub.example", "CONTACT_EMAIL": "help@hub.example",
}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "ids"),
    [
        ({}, []),
        ({"PUBLIC_URL": "http://tokenhub.example"}, ["E001"]),
        ({"PUBLIC_URL": "https://localhost"}, ["E002", "E004"]),
        ({"PUBLIC_URL": "https://127.0.0.1", "ALLOWED_HOSTS": ["127.0.0.1"]}, ["E002"]),
        ({"ALLOWED_HOSTS": ["*"]}, ["E003"]),
        ({"ALLOWED_HOSTS": [".tokenhub.example"]}, ["E003"]),
        ({"ALLOWED_HOSTS": ["other.example"]}, ["E004"]),
        ({"FIELD_ENCRYPTION_KEYS": ["k" * 43 + "=", "short"]}, ["E005"]),
        ({"SECRET_KEY": "k" * 43 + "="}, ["E006"]),
        ({"METRICS_TOKEN": ""}, ["W001"]),
        ({"METRICS_TOKEN": "short"}, ["E007"]),
        ({"DEBUG": True}, ["E008"]),
        ({"REDIS_URL": ""}, ["E009"]),
        ({"EGRESS_ALLOW_LOOPBACK": True}, ["E010"]),
        ({"DEMO": True}, ["E011"]),
        ({"EMAIL_URL": ""}, ["E012"]),
        ({"ADMIN_REQUIRES_MFA": False}, ["E013"]),
        ({"DEFAULT_FROM_EMAIL": "TokenHub <no-reply@tokenhub.example>"}, ["W004"]),
        ({"CONTACT_EMAIL": "support@tokenhub.example"}, ["W004"]),
        ({"STRIPE_SECRET_KEY": ""}, ["W002"]),
        ({"SENTRY_DSN": ""}, ["W003"]),
    ],
)
def test_what_is_misconfigured_is_found(
    settings: Any, wrong: dict[str, Any], ids: list[str]
) -> None:
    for name, value in {**WELL, **wrong}.items():
        setattr(settings, name, value)

    found = [
        *checks.addresses(None),
        *checks.secrets(None),
        *checks.surroundings(None),
    ]

    assert [message.id for message in found] == [f"tokenhub.{number}" for number in ids]
    assert all(message.msg.endswith(".") for message in found)


def test_a_weak_key_is_found_by_the_command() -> None:
    assert "security.W009" in check(SECRET_KEY="password")


def test_a_warning_that_is_meant_so_can_be_silenced() -> None:
    assert check(SENTRY_DSN="", SILENCED_SYSTEM_CHECKS="tokenhub.W003") == ""
