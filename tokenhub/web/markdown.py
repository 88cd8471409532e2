"""Markdown as HTML that is safe to show: CommonMark with tables; HTML in it stays text, links stay on http and mail."""

from django.utils.safestring import SafeString
from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def rendered(text: str) -> SafeString:
    """``text`` as HTML. Markdown-it escapes what is not Markdown and refuses script links."""
    return SafeString(_MARKDOWN.render(text))
