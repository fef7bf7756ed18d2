"""Reports, written in Markdown, as HTML."""

from __future__ import annotations

from collections.abc import Mapping

from markdown_it import MarkdownIt

__all__ = ["report_html"]


def report_html(text: str, pictures: Mapping[str, str]) -> str:
    """Return the HTML of a report; HTML in it is shown as text, and only its own pictures are.

    Args:
        text: CommonMark with tables.
        pictures: name of a picture beside the report → its address.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token in tokens:
        for child in token.children or []:
            if child.type == "image":
                known = pictures.get(str(child.attrs.get("src", "")))
                child.attrs["src"] = known or ""
                child.attrs["loading"] = "lazy"
        if token.type in ("heading_open", "heading_close") and token.tag == "h1":
            token.tag = "h2"  # the page has a first heading already
    return str(parser.renderer.render(tokens, parser.options, {}))
