"""One block of Markdown → safe HTML: parsed by `syntax`, rendered, sanitised."""

import re
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import nh3
from markdown_it.token import Token

from chat.rendering import highlight, math
from chat.rendering.escape import names
from chat.rendering.syntax import ANSWER_CLASSES, build_parser

Env = MutableMapping[str, Any]

parser = build_parser()

_sanitiser = nh3.Cleaner(
    tags=math.TAGS
    | names(
        "p h3 h4 h5 h6 ul ol li blockquote hr br em strong s a code pre div span table thead tbody tr th td"
        " button input"
    ),
    attributes={
        "a": {"href", "title", "data-made"},
        "ol": {"start"},
        "button": {"data-copy", "data-show-image"},
        "input": {"checked", "disabled"},
        "span": {"data-src", "data-alt", "data-made", "data-page", "data-file"},
        **{tag: set(math.ATTRIBUTES) for tag in math.TAGS},
    },
    tag_attribute_values={"button": {"type": {"button"}}, "input": {"type": {"checkbox"}}},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    allowed_classes={**ANSWER_CLASSES, "span": ANSWER_CLASSES["span"] | highlight.CLASSES},
    link_rel="noopener noreferrer nofollow",
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
)


def render(source: str, references: Env) -> tuple[str, ...]:
    env: Env = {"references": references}
    tokens = parser.parse(source, env)
    return tuple(html_of(block, env) for block in top_level(tokens))


def top_level(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting != 1 and token.type != "inline":
            yield block
            block = []


def html_of(block: Sequence[Token], env: Env) -> str:
    html = _sanitiser.clean(parser.renderer.render(block, parser.options, env)).strip()
    # Behind the sanitiser, which lets no link to a place in our own page through: only these lead there.
    return _PAGE_REF.sub(_page_link, html) if 'class="page-ref"' in html else html


_PAGE_REF = re.compile(r'<span class="page-ref" data-page="(\d+)"( data-file="[^"<>]*")?>([^<]*)</span>')


def _page_link(found: re.Match[str]) -> str:
    """The preview opens it where there is a document with that many pages; without one it is text."""
    page, file, shown = found[1], found[2] or "", found[3]
    return f'<a class="page-ref" href="#page-{page}" data-page="{page}"{file}>{shown}</a>'
