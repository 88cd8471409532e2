"""``ETag``, ``If-Match`` and ``If-None-Match`` wherever an answer has a version (RFC 9110 §13.1)."""

from typing import Any

import pytest
from django.test import Client

from accounts.roles import Role
from tests.api.program import Program, problem
from tests.api.test_access import signed_in

pytestmark = pytest.mark.usefixtures("catalogue", "db")

# Each with two changes, of which the second is none where the first is in force.
VERSIONED = {
    "preferences/": ({"strategy": "price"}, {"strategy": "latency"}),
    "budgets/": ({"monthly": "10.00"}, {"monthly": "20.00"}),
}
paths = pytest.mark.parametrize("path", VERSIONED)


@paths
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"a,b" , W/{},', "*", " * "])
def test_what_is_known_is_not_sent_again(program: Program, path: str, form: str) -> None:
    program.patch(path, VERSIONED[path][0])
    tag = program.get(path)["etag"]

    for method in ("GET", "HEAD"):
        answer = program.call(method, path, If_None_Match=form.format(tag))

        assert (answer.status_code, answer.content) == (304, b"")
        assert answer["etag"] == tag
        assert answer["ratelimit"]
        assert answer["ratelimit-policy"]
        assert answer["x-request-id"]
        assert "content-type" not in answer


@paths
@pytest.mark.parametrize(
    "form", ['"other"', "{bare}", '"{bare}', '"0{bare}"', "w/{}", "{} {}", "*, {}", "", "\xe9"]
)
def test_what_is_not_known_or_cannot_be_read_is_sent(
    program: Program, path: str, form: str
) -> None:
    tag = program.get(path)["etag"]

    answer = program.get(path, If_None_Match=form.format(tag, tag, bare=tag.strip('"')))

    assert answer.status_code == 200
    assert answer.json()
    assert answer["etag"] == tag


@paths
def test_a_change_makes_what_is_known_old(program: Program, path: str) -> None:
    tag = program.get(path)["etag"]
    changed = program.patch(path, VERSIONED[path][0])

    answer = program.get(path, If_None_Match=tag)

    assert (answer.status_code, answer["etag"]) == (200, changed["etag"])
    assert answer["etag"] != tag


@paths
def test_who_may_not_read_learns_nothing_from_a_tag(program: Program, path: str) -> None:
    inference = Program(program.tenant, "thm_nobody")

    problem(inference.get(path, If_None_Match="*"), 401, "invalid_api_key")


@paths
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '{}, "a,b"', ",{},", "*"])
def test_a_change_of_what_was_read_is_made(program: Program, path: str, form: str) -> None:
    """A weak tag too: compression on the way makes ours weak, and it names the same version."""
    first, second = VERSIONED[path]
    for method, body in (("PATCH", first), ("PUT", second)):
        tag = program.get(path)["etag"]

        answer = program.call(method, path, body, If_Match=form.format(tag))

        assert answer.status_code == 200
        assert answer["etag"] != tag


@paths
@pytest.mark.parametrize("form", ['"other"', 'W/"other"', '"0{bare}"', '"x", "{bare}9"', '"\xe9"'])
def test_a_change_of_something_else_is_refused(program: Program, path: str, form: str) -> None:
    program.patch(path, VERSIONED[path][0])
    before = program.get(path)
    bare = before["etag"].strip('"')

    for method in ("PATCH", "PUT"):
        answer = program.call(method, path, VERSIONED[path][1], If_Match=form.format(bare=bare))

        problem(answer, 412, "precondition_failed")
    assert program.get(path).json() == before.json()


@paths
@pytest.mark.parametrize(
    "form", ["{bare}", '"{bare}', "w/{}", "{} {}", "*, {}", "", ",", "null", "W/*"]
)
def test_a_condition_that_cannot_be_read_is_named(program: Program, path: str, form: str) -> None:
    """Nothing is changed, and nobody is told that somebody else was faster."""
    before = program.get(path)
    header = form.format(before["etag"], before["etag"], bare=before["etag"].strip('"'))

    for method in ("PATCH", "PUT"):
        answer = program.call(method, path, VERSIONED[path][0], If_Match=header)

        found = problem(answer, 400, "validation_failed")
        assert [each["field"] for each in found["errors"]] == ["If-Match"]
    assert program.get(path).json() == before.json()


@paths
def test_a_tag_that_compression_made_weak_is_still_good(program: Program, path: str) -> None:
    compressed = program.client.get(
        f"/api/v1/{path}",
        headers={"Authorization": f"Bearer {program.secret}", "Accept-Encoding": "gzip"},
    )
    weak = f"W/{compressed['etag'].removeprefix('W/')}"

    assert program.get(path, If_None_Match=weak).status_code == 304
    assert program.patch(path, VERSIONED[path][0], If_Match=weak).status_code == 200


@paths
def test_a_member_is_told_the_same(program: Program, path: str) -> None:
    member = signed_in(program.tenant, Role.ADMIN)
    tag: Any = member.get(path)["etag"]

    assert isinstance(member.client, Client)
    assert member.get(path, If_None_Match=tag).status_code == 304
