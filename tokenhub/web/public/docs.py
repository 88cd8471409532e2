"""The documentation as pages, as Markdown, searched, and listed for machines."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from tokenhub.web import docs as library
from tokenhub.web.doors import limited

MARKDOWN = "text/markdown; charset=utf-8"


def index(request: HttpRequest) -> HttpResponse:
    """The first page, and the way to all others."""
    return _shown(request, library.pages()[0])


def page(request: HttpRequest, slug: str) -> HttpResponse:
    """One page."""
    return _shown(request, _page_or_404(slug))


def markdown(request: HttpRequest, slug: str) -> HttpResponse:
    """The same as Markdown."""
    return HttpResponse(_page_or_404(slug).markdown, content_type=MARKDOWN)


@limited("docs-search", most=240)
def search(request: HttpRequest) -> HttpResponse:
    """What the documentation says about something."""
    query = request.GET.get("q", "")[:100]
    context = {"query": query, "hits": library.search(query), "groups": library.groups()}
    return render(request, "web/docs/search.html", context)


def llms(request: HttpRequest) -> HttpResponse:
    """Every page with what it is about, for language models (llmstxt.org)."""
    lines = [
        "# TokenHub",
        "",
        "> One account, one key and one bill for the AI models of many providers, through an OpenAI-compatible API"
        f" at {settings.PUBLIC_URL}/v1.",
    ]
    for group, pages in library.groups().items():
        lines += ["", f"## {group}", ""]
        for found in pages:
            address = settings.PUBLIC_URL + reverse("docs_markdown", args=[found.slug])
            lines.append(f"- [{found.title}]({address}): {found.summary}")
    return HttpResponse("\n".join(lines) + "\n", content_type=MARKDOWN)


def _shown(request: HttpRequest, found: library.Page) -> HttpResponse:
    pages = library.pages()
    place = pages.index(found)
    context = {
        "page": found,
        "groups": library.groups(),
        "before": pages[place - 1] if place else None,
        "after": pages[place + 1] if place + 1 < len(pages) else None,
        "headings": [section for section in found.sections if section.anchor],
    }
    return render(request, "web/docs/page.html", context)


def _page_or_404(slug: str) -> library.Page:
    found = library.page(slug)
    if found is None:
        raise Http404("No such page.")
    return found
