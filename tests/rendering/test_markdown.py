"""The canonical form: what each piece of Markdown looks like on the page."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from sys import getsizeof

import pytest

from chat.rendering import markdown
from chat.rendering.cache import ByteBoundedCache
from chat.rendering.highlight import highlight
from chat.rendering.markdown import render_blocks
from tests.dom import parse


def html(text: str) -> str:
    return "\n".join(render_blocks(text))


def test_there_is_one_string_for_each_block() -> None:
    blocks = render_blocks("# a\n\nb\n\n- c\n- d\n\n> e\n\n---\n")
    assert [block.split(">")[0] for block in blocks] == ["<h3", "<p", "<ul", "<blockquote", "<hr"]
    assert render_blocks("") == ()
    assert render_blocks("[a]: https://example.com\n") == ()


def test_headings_stay_below_the_outline_of_the_page() -> None:
    levels = [block[:3] for block in render_blocks("# a\n## b\n### c\n#### d\n##### e\n###### f\n")]
    assert levels == ["<h3", "<h4", "<h5", "<h6", "<h6", "<h6"]


def test_code_has_a_bar_with_its_language_and_a_button() -> None:
    assert html("```python title=x\na = 1\n```") == (
        '<div class="code"><div class="code__bar"><span class="code__lang">python</span>'
        '<button type="button" class="code__copy" data-copy="">Copy</button></div>'
        '<pre><code class="hl"><span class="n">a</span> <span class="o">=</span> <span class="mi">1</span>\n'
        "</code></pre></div>"
    )


@pytest.mark.parametrize("text", ["```\na <b>\n```", "```nonsense\na <b>\n```", "    a <b>\n"])
def test_code_without_a_known_language_is_text(text: str) -> None:
    assert '<code class="hl">a &lt;b&gt;\n</code>' in html(text)


def test_code_comes_back_as_it_was_written() -> None:
    for code in ("\n\n  x = 1  \n\n\ny\t= 2\n\n", "x", "x\n"):
        assert parse(highlight(code, "python")).text() == code
    assert '<code class="hl">\n\n' in html("```python\n\n\nx = 1\n```")


def test_very_long_code_is_not_coloured() -> None:
    assert "<span" not in highlight("x = 1\n" * 10_000, "python")
    assert "<span" not in highlight("x = " + "1" * 3_000, "python")
    assert "<span" in highlight("x = 1\n" * 1_000, "python")


def test_a_link_opens_elsewhere_and_tells_nothing() -> None:
    assert html('[a](https://example.com "t")') == (
        '<p><a href="https://example.com" title="t" target="_blank" rel="noopener noreferrer nofollow">a</a></p>'
    )


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("see https://example.com/a_b, and", "https://example.com/a_b"),
        ("(https://example.com/x)", "https://example.com/x"),
        ("https://example.com/x_(y)", "https://example.com/x_(y)"),
        ("请看https://example.com/页面。", "https://example.com/"),
        ("**https://example.com**", "https://example.com"),
        ("<https://example.com/?a&b>", "https://example.com/?a&amp;b"),
    ],
)
def test_an_address_in_the_text_is_a_link(text: str, address: str) -> None:
    assert f'<a href="{address}"' in html(text)


@pytest.mark.parametrize("text", ["ftp://example.com", "http://", "xhttps://example.com", "`https://example.com`"])
def test_what_is_no_address_is_no_link(text: str) -> None:
    assert "<a" not in html(text)


def test_a_place_outside_the_web_is_named_but_not_linked() -> None:
    assert html("[report](/etc/r.pdf)") == '<p><span class="link-inert">report</span></p>'
    assert html("[bad](javascript:alert)") == "<p>[bad](javascript:alert)</p>"


def test_what_the_model_made_is_marked_for_our_copy_of_it() -> None:
    link = html("[*my* report](<sandbox:/mnt/data/r x.pdf>)")
    assert link.startswith('<p><a class="made-link" data-made="sandbox:/mnt/data/r%20x.pdf"')
    assert "href" not in link
    assert html("![A <b>](sandbox:/mnt/data/c.png)") == (
        '<p><span class="made-image" data-made="sandbox:/mnt/data/c.png">A &lt;b&gt;</span></p>'
    )


@pytest.mark.parametrize(
    ("text", "page", "shown"),
    [
        ("It rains (p. 7).", 7, "(p. 7)"),
        ("It rains (pp. 3–5)", 3, "(pp. 3–5)"),
        ("**It rains [p. 12]**", 12, "[p. 12]"),
    ],
)
def test_a_cited_page_leads_to_that_page(text: str, page: int, shown: str) -> None:
    assert f'<a class="page-ref" href="#page-{page}" data-page="{page}">{shown}</a>' in html(text)


@pytest.mark.parametrize(
    ("cited", "file"),
    [
        ("(a & b.pdf, p. 7)", "a &amp; b.pdf"),
        ("(my_long_name.PDF, pp. 7–9)", "my_long_name.PDF"),
        ("[tales (pages 7-8).pdf, p. 7]", "tales (pages 7-8).pdf"),
        ("(報告 2.pdf, p. 7)", "報告 2.pdf"),
    ],
)
def test_of_several_documents_the_named_one_is_meant(cited: str, file: str) -> None:
    link = f'<a class="page-ref" href="#page-7" data-page="7" data-file="{file}">'
    assert f"It rains {link}{cited.replace('&', '&amp;')}</a>." in html(f"It rains {cited}.")


@pytest.mark.parametrize(
    "text", ["(Smith 2019, p. 7)", "`(p. 7)`", "[see (p. 7)](https://example.com)", "(p. seven)", "(p 7)", "(1p. 7)"]
)
def test_what_is_no_citation_of_a_page_stays_as_it_is(text: str) -> None:
    assert "page-ref" not in html(text)


def test_a_remote_image_is_a_button_that_names_its_host() -> None:
    assert html("![A *chart*](https://cdn.example.com/c.png?x=1&y=2)") == (
        '<p><span class="remote-image" data-src="https://cdn.example.com/c.png?x=1&amp;y=2" data-alt="A chart">'
        '<button type="button" class="remote-image__show" data-show-image="">Show image from cdn.example.com</button>'
        "</span></p>"
    )


def test_a_host_with_letters_of_another_script_shows_as_it_is_on_the_wire() -> None:
    assert "Show image from xn--" in html("![a](https://аpple.com/i.png)")


def test_an_image_in_the_text_itself_is_dropped() -> None:
    assert html("![a](data:image/png;base64,AAAA)") == '<p><span class="image-dropped">a</span></p>'


def test_a_table_scrolls_by_itself_and_is_aligned_by_classes() -> None:
    table = html("| a | b |\n|:-:|--:|\n| 1 | 2 |\n")
    assert table.startswith('<div class="table-wrap"><table>')
    assert '<th class="align-center">a</th>' in table
    assert '<td class="align-right">2</td>' in table


def test_tasks_are_boxes_that_cannot_be_changed() -> None:
    tasks = html("- [x] a\n- [ ] b\n")
    assert '<ul class="contains-task-list">' in tasks
    assert tasks.count('<input class="task-list-item-checkbox" disabled="" type="checkbox"') == 2
    assert tasks.count('checked=""') == 1


def test_markup_that_the_model_writes_is_text() -> None:
    assert html("<b>x</b>") == "<p>&lt;b&gt;x&lt;/b&gt;</p>"


@pytest.mark.parametrize(
    "text", ["$$\nx\n$$", "\\[\nx\n\\]", "$$x$$", "\\[ x \\]", "$$ x\n$$", "text\n$$\nx\n$$", "> $$\n> x\n> $$"]
)
def test_a_formula_on_its_own_lines_is_a_block(text: str) -> None:
    assert '<div class="math-block"><math alttext="x" display="block"><mrow><mi>x</mi></mrow></math></div>' in html(
        text
    )


@pytest.mark.parametrize("text", ["a $x$ b", "a \\(x\\) b"])
def test_a_formula_in_a_line_is_part_of_it(text: str) -> None:
    assert html(text) == '<p>a <math alttext="x" display="inline"><mrow><mi>x</mi></mrow></math> b</p>'


@pytest.mark.parametrize(
    "text", ["$5 and $6", "US$5, CA$6", "$ x $", "\\$x$", "`$x$`", "costs $5", "$20-$30", "a $$ b", "$"]
)
def test_a_price_is_no_formula(text: str) -> None:
    assert "<math" not in html(text)


def test_a_formula_that_is_never_closed_ends_at_the_blank_line() -> None:
    assert render_blocks("$$\nx\n\n# title\n\n$$\n")[1] == "<h3>title</h3>"


def test_a_formula_that_cannot_be_read_shows_its_source() -> None:
    assert html("a $\\frac{<}{$ b") == '<p>a <code class="math-source">\\frac{&lt;}{</code> b</p>'


def test_what_was_rendered_is_remembered() -> None:
    markdown._cache.clear()
    first = render_blocks("remember *this*")
    assert render_blocks("remember *this*") is first


def test_the_memory_is_bounded_by_bytes_and_forgets_the_oldest() -> None:
    cache: ByteBoundedCache[int, str] = ByteBoundedCache(4_000, getsizeof)
    for number in range(100):
        cache.put(number, f"{number}" + "x" * 300)
        assert cache.get(0 if number == 0 else number - 1) is not None
    assert cache.bytes <= 4_000
    assert cache.get(5) is None
    assert len(cache) >= 5


def test_one_huge_answer_does_not_throw_out_all_others() -> None:
    cache: ByteBoundedCache[str, str] = ByteBoundedCache(4_000, getsizeof)
    cache.put("small", "x")
    cache.put("huge", "x" * 3_000)
    assert cache.get("small") == "x"
    assert cache.get("huge") is None


def test_threads_render_the_same() -> None:
    texts = [f"**{n}** `x{n}` $x_{n}$\n\n```python\nx = {n}\n```\n" for n in range(40)] * 3
    expected = [render_blocks(text) for text in texts]
    markdown._cache.clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(render_blocks, texts)) == expected
