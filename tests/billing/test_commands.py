"""The operators' commands."""

import io

import pytest
from django.core.management import CommandError, call_command

from billing.selectors import balance_of
from keys.models import ApiKey
from keys.secrets import kind_of
from tests import factories

pytestmark = pytest.mark.django_db


def run(*arguments: str, **options: str) -> str:
    out = io.StringIO()
    call_command(*arguments, **options, stdout=out)
    return out.getvalue().strip()


def test_grant_credit_goes_through_the_ledger() -> None:
    tenant = factories.organization()

    run("grant_credit", tenant.slug, "12.5", reason="goodwill")

    assert balance_of(tenant).balance_nano == 12_500_000_000


@pytest.mark.parametrize(
    ("who", "usd", "reason"),
    [
        ("nobody", "1", "x"),
        (None, "0", "x"),
        (None, "-1", "x"),
        (None, "one", "x"),
        (None, "1", " "),
    ],
)
def test_a_credit_that_makes_no_sense_is_refused(who: str | None, usd: str, reason: str) -> None:
    tenant = factories.organization()

    with pytest.raises(CommandError):
        run("grant_credit", who or tenant.slug, usd, reason=reason)


@pytest.mark.parametrize("kind", ["inference", "management"])
def test_mint_key_prints_the_secret_alone(kind: str) -> None:
    tenant = factories.organization()

    secret = run("mint_key", tenant.id, "for a script", kind=kind)

    assert kind_of(secret) == kind
    assert ApiKey.objects.get(organization=tenant).kind == kind


def test_mint_key_gives_a_management_key_the_scopes_that_are_asked_for() -> None:
    tenant = factories.organization()

    run("mint_key", tenant.id, "plain", "--kind=management")
    run("mint_key", tenant.id, "finance", "--kind=management", "--scope=billing", "--scope=read")

    scopes = dict(ApiKey.objects.filter(organization=tenant).values_list("name", "scopes"))
    assert scopes == {"plain": ["read", "write"], "finance": ["billing", "read"]}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind=management", "--scope=everything"], "read, write, billing"),
        (["--scope=read"], "management"),
    ],
)
def test_mint_key_refuses_scopes_that_make_no_sense(options: list[str], words: str) -> None:
    tenant = factories.organization()

    with pytest.raises(CommandError, match=words):
        run("mint_key", tenant.id, "odd", *options)

    assert not ApiKey.objects.filter(organization=tenant).exists()
