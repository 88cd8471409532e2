"""The customers' documentation: Markdown files, rendered once, with the reader's own addresses in the samples."""

import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from textwrap import shorten

from django.conf import settings
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin

CONTENT = Path(__file__).resolve().parent / "content"
LANGUAGES = {
    "bash": "curl",
    "python": "Python",
    "javascript": "JavaScript",
    "json": "JSON",
    "env": "Environment",
    "text": "Text",
}
TABLE = '<div class="card scroll" tabindex="0" role="region" aria-label="{}">'
TABS = ("bash", "python", "javascript")
_HEADER = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of a page and what is below it, without marks: its words, and its words and code."""

    anchor: str
    title: str
    prose: str
    text: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A piece of code; ``runs`` where it is complete as it stands."""

    language: str
    runs: bool
    code: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page. ``markdown`` and ``html`` have the installation's own address in them."""

    slug: str
    group: str
    title: str
    summary: str
    markdown: str
    html: SafeString
    sections: tuple[Section, ...]
    samples: tuple[Sample, ...]


def pages() -> tuple[Page, ...]:
    """Every page, in reading order."""
    return _load(settings.PUBLIC_URL)


def page(slug: str) -> Page | None:
    """The page of this name, if there is one."""
    return next((found for found in pages() if found.slug == slug), None)


def groups() -> dict[str, list[Page]]:
    """The pages by group, in reading order."""
    found: dict[str, list[Page]] = {}
    for each in pages():
        found.setdefault(each.group, []).append(each)
    return found


@dataclass(frozen=True, slots=True)
class Hit:
    """Where something was found."""

    page: Page
    section: Section
    excerpt: str


def search(query: str, limit: int = 20) -> list[Hit]:
    """The sections that have every word of the query, those that have them in their headings first."""
    words = [word for word in query.lower().split() if word][:8]
    scored: list[tuple[int, Hit]] = []
    for each in pages() if words else ():
        for section in each.sections:
            title, text = f"{each.title} {section.title}".lower(), section.text.lower()
            counts = [10 * title.count(word) + text.count(word) for word in words]
            if all(counts):
                scored.append(
                    (
                        sum(counts),
                        Hit(each, section, _excerpt(section.prose or each.summary, words)),
                    )
                )
    scored.sort(key=lambda found: -found[0])
    return [hit for _, hit in scored[:limit]]


def _excerpt(text: str, words: list[str]) -> str:
    """Whole words around the first that was sought."""
    places = [place for word in words if (place := text.lower().find(word)) >= 0]
    start = max(min(places, default=0) - 60, 0)
    if start:
        start = text.find(" ", start) + 1
    cut = shorten(text[start:], 200, placeholder=" …")
    return f"… {cut}" if start else cut


_RUN = re.compile(r"(?<=^```)(\w+) run$", re.MULTILINE)


@cache
def _load(base_url: str) -> tuple[Page, ...]:
    return tuple(_read(path, base_url) for path in sorted(CONTENT.glob("*.md")))


def _read(path: Path, base_url: str) -> Page:
    found = _HEADER.match(path.read_text(encoding="utf-8"))
    assert found is not None, f"{path.name} has no header"
    header = dict(line.split(": ", 1) for line in found[1].splitlines())
    markdown = found[2].strip().replace("{{base_url}}", base_url) + "\n"
    parser = _parser()
    tokens = parser.parse(markdown)
    return Page(
        slug=path.stem.split("-", 1)[1],
        group=header["group"],
        title=header["title"],
        summary=header["summary"],
        # That tests run a sample is nothing to its reader.
        markdown=f"# {header['title']}\n\n" + _RUN.sub(r"\1", markdown),
        html=SafeString(parser.renderer.render(_grouped(tokens), parser.options, {})),
        sections=tuple(_sections(header["title"], tokens)),
        samples=tuple(_samples(tokens)),
    )


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return parser.use(anchors_plugin, min_level=2, max_level=3)


def _samples(tokens: list[Token]) -> list[Sample]:
    return [
        Sample(_language(token), "run" in token.info.split(), token.content)
        for token in tokens
        if token.type == "fence"
    ]


def _language(token: Token) -> str:
    return (token.info.split() or ["text"])[0]


def _grouped(tokens: list[Token]) -> list[Token]:
    """Code becomes a block with a button to copy it; the same thing in several languages becomes tabs."""
    done: list[Token] = []
    number = tables = 0
    while tokens:
        run = []
        while tokens and tokens[0].type == "fence":
            run.append(tokens[0])
            tokens = tokens[1:]
        if run:
            number += 1
            done.append(_html(_code(run, number)))
        elif tokens[0].type == "table_open":
            tables += 1
            # Each region of a page has a name of its own.
            done += [_html(TABLE.format("Table" if tables == 1 else f"Table {tables}")), tokens[0]]
            tokens = tokens[1:]
        elif tokens[0].type == "table_close":
            done += [tokens[0], _html("</div>")]
            tokens = tokens[1:]
        else:
            done.append(tokens[0])
            tokens = tokens[1:]
    return done


def _code(run: list[Token], number: int) -> str:
    if len(run) > 1 and all(_language(token) in TABS for token in run):
        tabs = []
        for place, token in enumerate(run):
            name = f"code-{number}-{place}"
            checked = " checked" if place == 0 else ""
            tabs.append(
                f'<input type="radio" name="tabs-{number}" id="tab-{name}"{checked}>'
                f'<label for="tab-{name}">{LANGUAGES[_language(token)]}</label>{_block(token, name)}'
            )
        return f'<div class="tabs" role="group" aria-label="Sample in several languages">{"".join(tabs)}</div>'
    return "".join(_block(token, f"code-{number}-{place}") for place, token in enumerate(run))


def _block(token: Token, name: str) -> str:
    label = LANGUAGES.get(_language(token), _language(token))
    if label == "curl" and not token.content.startswith("curl"):
        label = "Shell"
    return (
        f'<div class="code"><div><span>{escape(label)}</span><button class="button small" type="button"'
        f' data-copy="{name}">Copy</button></div>'
        f'<pre tabindex="0"><code id="{name}">{escape(token.content.rstrip())}</code></pre></div>'
    )


def _html(text: str) -> Token:
    return Token("html_block", "", 0, content=text)


def _sections(title: str, tokens: list[Token]) -> list[Section]:
    found: list[Section] = []
    anchor, heading = "", title
    prose, texts = list[str](), list[str]()
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            found.append(Section(anchor, heading, " ".join(prose), " ".join(texts)))
            anchor, heading = str(token.attrs.get("id", "")), _plain(tokens[place + 1])
            prose, texts = [], []
        elif token.type == "inline" and tokens[place - 1].type != "heading_open":
            prose.append(_plain(token))
            texts.append(prose[-1])
        elif token.type == "fence":
            texts.append(token.content)
    found.append(Section(anchor, heading, " ".join(prose), " ".join(texts)))
    return found


def _plain(token: Token) -> str:
    """What is read of a line of Markdown: no backticks, asterisks or addresses of links."""
    return "".join(
        " " if part.type == "softbreak" else part.content for part in token.children or []
    )
