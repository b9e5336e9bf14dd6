"""What a tab lacks of the open block is appended where that gives the same page, and nowhere else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chat.rendering.markdown import LiveMarkdown
from chat.rendering.patch import Append, Swap, is_balanced, patch
from tests.dom import Page, parse

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.md"))


def applied(old: str, *steps: Append | Swap) -> str:
    page = Page(f'<main><div id="o">{old}</div></main>')
    page.receive("".join(step.fragment("o") for step in steps))
    assert not page.missed
    return page.part("o")


def whole(html: str) -> str:
    return Page(f'<main><div id="o">{html}</div></main>').part("o")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("<p>a</p>", "<p>ab</p>", Append(">p:last-child", "p", "b")),
        ("<p>a</p>", "<p>a <em>b</em></p>", Append(">p:last-child", "p", " <em>b</em>")),
        ("<p>a</p>", "<p>a</p><p>b</p>", Append("", "div", "<p>b</p>")),
        ("", "<p>a</p>", Append("", "div", "<p>a</p>")),
        ("<ul>\n<li>a</li>\n</ul>", "<ul>\n<li>ab</li>\n</ul>", Append(">ul:last-child>li:last-child", "li", "b")),
        (
            "<ul>\n<li>a</li>\n</ul>",
            "<ul>\n<li>a</li>\n<li>b</li>\n</ul>",
            Append(">ul:last-child", "ul", "<li>b</li>\n"),
        ),
        (
            "<div><pre><code>a\n</code></pre></div>",
            "<div><pre><code>a\n\nb &lt;\n</code></pre></div>",
            Append(">div:last-child>pre:last-child>code:last-child", "code", "\nb &lt;\n"),
        ),
        (
            "<table><tbody><tr><td>a</td></tr></tbody></table>",
            "<table><tbody><tr><td>a</td></tr><tr><td>b</td></tr></tbody></table>",
            Append(">table:last-child>tbody:last-child", "tbody", "<tr><td>b</td></tr>"),
        ),
        (
            "<table><tbody><tr><td>a</td></tr></tbody></table>",
            "<table><tbody><tr><td>ab</td></tr></tbody></table>",
            Append(">table:last-child>tbody:last-child>tr:last-child>td:last-child", "div", "b"),
        ),
    ],
)
def test_what_was_gained_is_appended_to_the_innermost_element(old: str, new: str, expected: Append) -> None:
    assert patch(old, new) == (expected,)
    assert applied(old, expected) == whole(new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<p>a</p>", "<h3>a</h3>"),
        ("<p>a</p>", "<blockquote><p>a</p></blockquote>"),
        ("<math><mi>a</mi></math>", "<math><mi>a</mi><mi>b</mi></math>"),
        ("<select><option>a</option></select>", "<select><option>a</option><option>b</option></select>"),
        ("<pre>a</pre>", "<pre>\nb</pre>"),
    ],
)
def test_anything_else_replaces_the_block(old: str, new: str) -> None:
    assert patch(old, new) is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("<p>**a</p>", "<p><strong>a</strong></p>", Swap(">p:last-child", "p", "<strong>a</strong>")),
        ("<p>abc</p>", "<p>ab</p>", Swap(">p:last-child", "p", "ab")),
        (
            "<ul><li>a</li><li>*b</li></ul>",
            "<ul><li>a</li><li><em>b</em></li></ul>",
            Swap(">ul:last-child>li:last-child", "li", "<em>b</em>"),
        ),
        (
            "<table><tbody><tr><td>a</td><td></td></tr></tbody></table>",
            "<table><tbody><tr><td>ab</td><td></td></tr></tbody></table>",
            Swap(">table:last-child>tbody:last-child>tr:last-child", "tr", "<td>ab</td><td></td>"),
        ),
    ],
)
def test_what_changed_is_swapped_in_the_innermost_element_that_holds_it(old: str, new: str, expected: Swap) -> None:
    assert patch(old, new) == (expected,)
    assert applied(old, expected) == whole(new)


def test_a_block_behind_a_table_is_appended() -> None:
    old = '<div class="table-wrap"><table><tbody><tr><td>a</td></tr></tbody></table></div>'
    assert patch(old, f"{old}<p>b</p>") == (Append("", "div", "<p>b</p>"),)


def test_a_closing_tag_inside_an_attribute_is_not_taken_for_one() -> None:
    old = '<p><span data-alt="a</p>">x</span></p>'
    new = '<p><span data-alt="a</p>">x</span> y</p>'
    step = Append(">p:last-child", "p", " y")
    assert patch(old, new) == (step,)
    assert applied(old, step) == whole(new)


def test_what_stands_before_a_closing_tag_inside_an_attribute_is_found() -> None:
    old = '<p><span data-alt="</em>">*x</span></p>'
    new = '<p><span data-alt="</em>"><em>x</em></span></p>'
    step = Swap(">p:last-child>span:last-child", "span", "<em>x</em>")
    assert patch(old, new) == (step,)
    assert applied(old, step) == whole(new)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "<ul>\n<li>a</li>\n</ul>",
            "<ul>\n<li>a b</li>\n<li></li>\n</ul>",
            (Append(">ul:last-child>li:last-child", "li", " b"), Append(">ul:last-child", "ul", "<li></li>\n")),
        ),
        (
            "<ul>\n<li>a</li>\n<li>*b</li>\n</ul>",
            "<ul>\n<li>a</li>\n<li><em>b</em></li>\n<li>c</li>\n</ul><p>d</p>",
            (
                Swap(">ul:last-child>li:last-child", "li", "<em>b</em>"),
                Append(">ul:last-child", "ul", "<li>c</li>\n"),
                Append("", "div", "<p>d</p>"),
            ),
        ),
        (
            "<p><span>a. b</span></p>",
            "<p><span>a. </span><span>b c</span></p>",
            (Swap(">p:last-child>span:last-child", "span", "a. "), Append(">p:last-child", "p", "<span>b c</span>")),
        ),
    ],
)
def test_each_element_around_what_changed_gains_by_itself(
    old: str, new: str, expected: tuple[Append | Swap, ...]
) -> None:
    assert patch(old, new) == expected
    assert applied(old, *expected) == whole(new)


@pytest.mark.parametrize("cut", ["<em>a", "a</em>", "</em><em>", "<em>a</strong>", "<em", "<br></br>", "a < b"])
def test_cut_tags_are_not_balanced(cut: str) -> None:
    assert not is_balanced(cut)


@pytest.mark.parametrize("good", ["", "a", "<br>a<input checked>", '<a title="a > b">x</a>', "&lt;p&gt;<em>x</em>"])
def test_closed_tags_are_balanced(good: str) -> None:
    assert is_balanced(good)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_each_step_of_an_open_block_gives_the_block(path: Path) -> None:
    """Entities, attributes and code included: whatever the documents make of the open block."""
    text = path.read_bytes().decode()
    live = LiveMarkdown()
    old, at = "", 0
    while at < len(text):
        size = random.randint(1, 6)
        live.append(text[at : at + size])
        at += size
        new = live.open_html
        steps = patch(old, new)
        if steps is not None:
            assert applied(old, *steps) == whole(new)
            inside = {element.removesuffix(":last-child") for step in steps for element in step.path.split(">")}
            assert inside.isdisjoint({"select", "math", "svg"})
        old = new


def test_code_in_an_open_fence_only_grows() -> None:
    live = LiveMarkdown()
    live.append("```python\n")
    old = live.open_html
    for line in range(50):
        live.append(f'print("{line} < {line + 1} & more")\n')
        steps = patch(old, live.open_html)
        assert steps is not None
        assert [step.tag for step in steps] == ["code"]
        assert len(steps[0].html) < 100
        old = live.open_html
    assert "hl" in {element.attributes.get("class") for element in parse(old).walk()}
