"""The documentation: whole, true to the code, linked without a dead end, readable by people and machines."""

import re
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from tests.web.pages import HOSTILE, safe
from tokenhub.gateway import errors
from tokenhub.web import docs

SLUGS = [page.slug for page in docs.pages()]


@pytest.mark.parametrize("slug", SLUGS)
def test_every_page_is_whole(
    client: Client, slug: str, django_assert_max_num_queries: Any, db: None
) -> None:
    with django_assert_max_num_queries(2):
        page = client.get(f"/docs/{slug}/")

    assert page.status_code == 200
    assert "{{" not in page.content.decode()
    safe(page)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_link_leads_somewhere(client: Client, slug: str, db: None) -> None:
    page = client.get(f"/docs/{slug}/").content.decode()

    for link in re.findall(r'href="(/[^"]*|#[^"]*)"', page):
        path, _, anchor = link.partition("#")
        if path.startswith("/static/"):
            continue
        target = client.get(path) if path else client.get(f"/docs/{slug}/")
        assert target.status_code == 200, link
        if anchor and anchor != "main":
            assert f'id="{anchor}"' in target.content.decode(), link


def test_every_error_code_is_explained_and_no_other() -> None:
    page = docs.page("errors")
    assert page is not None
    codes = {
        kind.code for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.GatewayError) and kind is not errors.GatewayError
    }  # fmt: skip

    explained = {section.title for section in page.sections if "_" in section.title}

    assert explained == codes


@pytest.mark.parametrize("slug", SLUGS)
def test_every_page_is_there_as_markdown(client: Client, slug: str, settings: Any) -> None:
    settings.PUBLIC_URL = "https://hub.example"

    answer = client.get(f"/docs/{slug}.md")

    assert answer["content-type"].startswith("text/markdown")
    assert not re.search(r"^```\w+ ", answer.content.decode(), re.MULTILINE)
    assert "{{base_url}}" not in answer.content.decode()
    assert "127.0.0.1" not in answer.content.decode()


def test_machines_are_given_the_list(client: Client) -> None:
    listed = re.findall(r"/docs/([\w-]+)\.md", client.get("/llms.txt").content.decode())

    assert listed == SLUGS


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "slug", "anchor"),
    [("outside_boundaries", "errors", "outside_boundaries"), ("retry-after", "limits", "requests-per-minute"), ("Streaming", "text", "streaming")],
)  # fmt: skip
def test_what_is_sought_is_found(client: Client, query: str, slug: str, anchor: str) -> None:
    page = client.get("/docs/search/", {"q": query})

    assert (slug, anchor) in {
        (hit.page.slug, hit.section.anchor) for hit in page.context["hits"][:3]
    }
    assert f'href="/docs/{slug}/#{anchor}"' in page.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", " ", HOSTILE, "x" * 500, "%00", "zzzz nothing"])
def test_a_search_for_nothing_finds_nothing(client: Client, query: str) -> None:
    page = client.get("/docs/search/", {"q": query})

    assert page.status_code == 200
    assert page.context["hits"] == []
    safe(page)


@pytest.mark.django_db
def test_what_is_no_page_is_not_found(client: Client) -> None:
    assert client.get("/docs/nothing/").status_code == 404
    assert client.get("/docs/nothing.md").status_code == 404


def test_samples_carry_the_readers_address_and_run_in_every_language() -> None:
    samples = [sample for page in docs.pages() for sample in page.samples]

    assert {sample.language for sample in samples if sample.runs} == {
        "bash",
        "python",
        "javascript",
    }
    assert all(settings.PUBLIC_URL in sample.code for sample in samples if sample.runs)


@pytest.mark.django_db
def test_what_is_found_is_shown_in_words_not_in_marks_or_code(client: Client) -> None:
    hits = client.get("/docs/search/", {"q": "deepseek-v3.2"}).context["hits"]

    assert len(hits) > 3
    for hit in hits:
        assert not re.search(r"`|\*\*|\]\(|curl http|import ", hit.excerpt), hit.excerpt
        assert len(hit.excerpt) <= 204


def test_an_error_begins_with_its_status_and_is_no_list() -> None:
    page = docs.page("errors")
    assert page is not None

    assert "<ol" not in page.html
    assert "<p>HTTP 402. " in page.html
