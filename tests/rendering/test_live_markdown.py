"""Markdown that is still being written: what has closed stays, what is open is bounded, the end is canonical."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.rendering.blocks import html_of, parser, top_level
from chat.rendering.markdown import LiveMarkdown, render_blocks
from chat.rendering.patch import patch
from chat.rendering.syntax import with_marks_closed
from tests.dom import Page, parse

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.md"))

# A link is used in a block that has closed before the line that defines it came.
DEFINED_LATE = {"late_references", "late_references_footnotes"}


def read(path: Path) -> str:
    """The document as it is, line endings included."""
    return path.read_bytes().decode()


class Reader:
    """A tab's page: takes closed blocks once and the open block by appends or whole."""

    def __init__(self) -> None:
        self.page = Page('<main><div id="o"></div></main>')
        self.blocks = 0
        self.open = ""

    def look(self, live: LiveMarkdown) -> None:
        closed = live.closed
        for number in range(self.blocks, len(closed)):
            self._before_open(number, closed[number])
        current = live.open_html
        steps = patch(self.open, current) if self.blocks == len(closed) else None
        if steps is None:
            self.page.receive(f'<div id="o" hx-swap-oob="true">{current}</div>')
        else:
            self.page.receive("".join(step.fragment("o") for step in steps))
        self.blocks, self.open = len(closed), current

    def end(self, live: LiveMarkdown) -> None:
        blocks = live.finish()
        for number, html in enumerate(blocks):
            if number >= self.blocks:
                self._before_open(number, html)
            elif html != live.closed[number]:
                self.page.receive(f'<div id="b{number}" hx-swap-oob="true">{html}</div>')
        self.page.receive('<i id="o" hx-swap-oob="delete"></i>')

    def _before_open(self, number: int, html: str) -> None:
        self.page.receive(f'<div hx-swap-oob="beforebegin:#o"><div id="b{number}">{html}</div></div>')

    def html(self) -> str:
        assert not self.page.missed
        return self.page.root.html()


def reloaded(text: str) -> str:
    blocks = "".join(f'<div id="b{number}">{html}</div>' for number, html in enumerate(render_blocks(text)))
    return Page(f"<main>{blocks}</main>").root.html()


def pieces(text: str, longest: int) -> list[str]:
    found, at = [], 0
    while at < len(text):
        size = random.randint(1, longest)
        found.append(text[at : at + size])
        at += size
    return found


@pytest.mark.parametrize("longest", [1, 9, 200])
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_streamed_page_equals_the_reloaded_one(path: Path, longest: int) -> None:
    text = read(path)
    live, reader = LiveMarkdown(), Reader()
    for piece in pieces(text, longest):
        live.append(piece)
        if longest == 1 or random.random() < 0.7:
            reader.look(live)
    reader.end(live)
    assert live.text == text
    assert reader.html() == reloaded(text)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_only_a_late_definition_changes_a_closed_block(path: Path) -> None:
    text = read(path)
    live = LiveMarkdown()
    seen: list[str] = []
    for piece in pieces(text, 5):
        live.append(piece)
        assert live.closed[: len(seen)] == seen, "a closed block changed while the text grew"
        seen = list(live.closed)
    canonical = list(live.finish()[: len(seen)])
    assert (seen != canonical) == (path.stem in DEFINED_LATE)


def test_the_documents_with_late_definitions_are_there() -> None:
    assert {path.stem for path in CORPUS} >= DEFINED_LATE


LINES = [
    "text\n", "**bold** text\n", "\n", "\n\n", "- item\n", "- item\n\n", "  para\n", "  - nested\n", "1. one\n", "2. two\n",
    "   more\n", "# head\n", "===\n", "---\n", "```py\n", "```\n", "~~~\n", "    code\n", "> quote\n", ">\n", "> - item\n",
    "> ```\n", "| a | b |\n", "|---|---|\n", "| 1 | 2 |\n", "$$\n", "x^2\n", "x $$\n", "\\[ a\n", "\\]\n", "***\n", "* star\n",
    "\ttab\n", "- [ ] task\n", "-\n", "10) x\n", "<div>\n", "2", "2.", " ", "`", "*", "\r\n", "\r", "😀",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=30), st.integers(1, 40))
def test_blocks_close_for_good_whatever_the_lines(lines: list[str], size: int) -> None:
    text = "".join(lines)
    canonical = render_blocks(text)
    live = LiveMarkdown()
    for at in range(0, len(text), size):
        live.append(text[at : at + size])
        assert isinstance(live.open_html, str)
        assert tuple(live.closed) == canonical[: len(live.closed)]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LINES), st.lists(st.sampled_from(LINES), max_size=6), st.integers(20, 400))
def test_a_long_block_closes_like_a_short_one(repeated: str, lines: list[str], size: int) -> None:
    text = "".join(lines[:3]) + repeated * 300 + "".join(lines[3:])
    canonical = render_blocks(text)
    live = LiveMarkdown()
    for at in range(0, len(text), size):
        live.append(text[at : at + size])
        assert isinstance(live.open_html, str)
        assert tuple(live.closed) == canonical[: len(live.closed)]


def opened(text: str) -> str:
    live = LiveMarkdown()
    live.append(text)
    return live.open_html


def test_the_line_that_is_written_decides_nothing() -> None:
    live = LiveMarkdown()
    live.append("- a\n\n2")
    assert live.closed == []
    live.append(". b\n\ntext\n")
    assert [html[:3] for html in live.closed] == ["<ul", "<ol"]


def test_a_blank_line_closes_a_paragraph() -> None:
    live = LiveMarkdown()
    live.append("one\ntwo\n")
    assert live.closed == []
    live.append("\n")
    assert live.closed == ["<p>one\ntwo</p>"]
    assert live.open_html == ""


def test_a_fence_closes_with_its_own_last_line_and_is_coloured_then() -> None:
    live = LiveMarkdown()
    live.append("```python\nreturn 1\n``")
    assert live.closed == []
    assert "<span" not in live.open_html.partition("<pre>")[2]
    assert "``" not in live.open_html
    live.append("`\n")
    assert '<span class="k">return</span>' in live.closed[0]


def test_long_code_grows_in_parts_and_is_one_when_it_closes() -> None:
    live = LiveMarkdown()
    code = "".join(f"if {line} < x:\n" for line in range(250))
    reader = Reader()
    live.append("```python\n")
    for at in range(0, len(code), 7):
        live.append(code[at : at + 7])
        reader.look(live)
    shown = parse(live.open_html)
    parts = [element for element in shown.walk() if element.attributes.get("class") == "code__part"]
    assert [part.text().count("\n") for part in parts] == [100, 50]
    assert next(element for element in shown.walk() if element.tag == "code").text() == code
    assert reader.page.part("o") == Page(f'<main><div id="o">{live.open_html}</div></main>').part("o")
    live.append("```\n")
    assert live.closed == list(render_blocks(f"```python\n{code}```\n"))
    assert "code__part" not in live.closed[0]


def test_half_a_link_is_text() -> None:
    for end in range(len("[text](https://example.com/page")):
        html = opened("See [text](https://example.com/page"[: 5 + end])
        assert "<a" not in html
    assert 'href="https://example.com/page"' in opened("See [text](https://example.com/page)")


def test_an_address_at_the_end_is_linked_when_it_is_complete() -> None:
    assert "<a" not in opened("See https://exam")
    assert '<a href="https://example.com"' in opened("See https://example.com for")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("so ~~this", "<p>so ~~this</p>"),
        ("so $x + 1", "<p>so $x + 1</p>"),
        ("so [this", "<p>so [this</p>"),
        ("$$\n\\frac{a}{b", '<p><code class="math-source">$$\n\\frac{a}{b</code></p>'),
    ],
)
def test_unfinished_markup_is_text(text: str, shown: str) -> None:
    assert opened(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "See **bold words** here",
        "- **Term:** said\n- **Other",
        "这是**重点**吗",
        "## A **b**",
    ],
)
def test_bold_words_are_bold_from_their_first_letter(text: str) -> None:
    for end in range(1, len(text) + 1):
        html = opened(text[:end])
        assert "*" not in html, text[:end]
    assert "<strong>" in html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("so **$this", "<p>so **$this</p>"),
        ("2 * 3", "<p>2 * 3</p>"),
        ("a*b", "<p>a*b</p>"),
        ("so *see https://exam", "<p>so *see https://exam</p>"),
        ("so \\**this", "<p>so **this</p>"),
        ("a **b** and c", "<p>a <strong>b</strong> and c</p>"),
        ("**see https://exam", "<p>**see https://exam</p>"),
    ],
)
def test_stars_that_may_be_something_else_stay(text: str, shown: str) -> None:
    assert opened(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("so `this", "<p>so <code>this</code></p>"),
        ("so `a **b", "<p>so <code>a **b</code></p>"),
        ("so **`this", "<p>so <strong><code>this</code></strong></p>"),
        ("so `a` and `", "<p>so <code>a</code> and </p>"),
        ("so ``a `b", "<p>so ``a `b</p>"),
        ("it`s", "<p>it`s</p>"),
        ("so \\`this", "<p>so `this</p>"),
        ("so *this word", "<p>so <em>this word</em></p>"),
        ("*one* and *two", "<p><em>one</em> and <em>two</em></p>"),
        ("see [the docs](https://exam", "<p>see the docs</p>"),
        ("see [the docs](", "<p>see the docs</p>"),
        ("see [a](https://e.example/b_(c", "<p>see a</p>"),
        ('see [a](https://e.example "A ti', "<p>see a</p>"),
        ("see ![a harbour](https://e.example/b.p", "<p>see </p>"),
        ("run `[a](b", "<p>run <code>[a](b</code></p>"),
        ("so [it](and more", "<p>so [it](and more</p>"),
        ("so [it](and", "<p>so [it](and</p>"),
        ("call arr[i](htt", "<p>call arr[i](htt</p>"),
        ("see [a](https://e.example 'A ti", "<p>see a</p>"),
        ("see ![a harb", "<p>see </p>"),
        ("see ![a harbour]", "<p>see </p>"),
        ("**see [the docs](https://e.exam", "<p><strong>see the docs</strong></p>"),
        ("the `90s were " + "good " * 30, "<p>the `90s were " + "good " * 29 + "good</p>"),
        ("*only with tax. And more", "<p>*only with tax. And more</p>"),
    ],
)
def test_what_is_half_written_reads_as_it_will(text: str, shown: str) -> None:
    assert opened(text) == shown


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("Of these:\n- one\n- two\n  - three\n* * *\n", r"<h\d|<li></li>"),
        ("Of these:\n* one\n* two\n+ three", r"<h\d|<li></li>|\*"),
        ("The steps are\n1. one\n2. two\n10. ten", r"<li></li>|[a-z]\n\d"),
        ("| name | of |\n|:--|--:|\n| a | 1 |\n", r"\||:|--"),
        ("> | name | of |\n> |:--|--:|\n> | a | 1 |\n", r"\||:|--"),
        ("Above\n\n---\n\nbelow\n", r"-|<h\d|<li>"),
        ("**See [the docs](https://e.example/d) and [more](https://e.example)** now", r"\*|>[^<]*http|\]\("),
        ("- **[Name](https://e.example/n)**: words", r"\*|>[^<]*http|\]\("),
        ("So:\n| name | of |\n|---|---|\n| a | 1 |\n", r"\||--"),
        ("Use `make run`, or *nothing*, **as you `like`**.", r"[`*]"),
        ("In [the book](https://e.example/book) and ![it](https://e.example/it.png).", r">[^<]*http|\]\("),
    ],
)
def test_no_mark_is_shown_before_its_meaning_is_known(text: str, never: str) -> None:
    live = LiveMarkdown()
    for letter in text:
        live.append(letter)
        shown = re.sub(r'="[^"]*"|Show image from e.example', "", "".join(live.closed) + live.open_html)
        assert not re.search(never, shown), live.text


@pytest.mark.parametrize(
    ("written", "more"),
    [
        ("\n> total\n12", "3 apples"),
        ("\n| no row at all |\n", "and on"),
        ("\nit\n| no row", " here | at all\nand on"),
        (" see [the docs](https://exam", "ple.com/x) and on"),
        (" **bold", " and on** and on"),
        ("\n> 1\n> 2\n> 3\n> 4\n> 5", "6\n> 7"),
        (" `code", " and on` and on"),
    ],
)
def test_what_follows_in_a_long_block_stands_behind_all_of_it(written: str, more: str) -> None:
    live = LiveMarkdown()
    live.append("> It costs $5 " + "word " * 600 + written)
    assert "word" in live.open_html
    for letter in more:
        live.append(letter)
        html = live.open_html
    shown = iter(re.findall(r"\w+", parse(html).text())[-12:])
    assert all(word in shown for word in re.findall(r"\w+", written + more)), "missing, or in another order"


@pytest.mark.parametrize(
    "text", ["[a](" + "(a" * 1_000 + " b", "[f](" + ("(" + "x" * 40) * 4 + " y", "[a](" * 2_000 + "\n"]
)
def test_what_opens_again_and_again_is_read_in_no_time(text: str) -> None:
    before = time.process_time()
    with_marks_closed(text)
    assert time.process_time() - before < 0.5  # in all ways it would take years


def test_a_number_that_is_the_answer_is_shown() -> None:
    assert opened("42") == "<p>42</p>"
    assert opened("The answer is\n42 of") == "<p>The answer is\n42 of</p>"
    assert opened("|x| is never below zero" * 10) != ""


def test_replacing_begins_anew() -> None:
    live = LiveMarkdown()
    live.append("one\n\ntwo")
    assert live.closed == ["<p>one</p>"]
    live.replace("three\n\nfour")
    assert (live.generation, live.closed, live.open_html) == (1, ["<p>three</p>"], "<p>four</p>")
    assert live.text == "three\n\nfour"


def test_a_character_cut_in_two_halves_is_one_in_the_end() -> None:
    live = LiveMarkdown()
    live.append("a \ud83d")
    assert "\ufffd" not in live.open_html
    live.append("\ude00 b")
    assert live.open_html == "<p>a 😀 b</p>"
    assert live.finish() == ("<p>a 😀 b</p>",)


def test_a_line_ending_cut_in_two_halves_is_one() -> None:
    live = LiveMarkdown()
    for piece in ("one\r", "\ntwo\r", "\n\r", "\nthree\r", "\n"):
        live.append(piece)
        assert isinstance(live.closed, list)
    assert live.closed == ["<p>one\ntwo</p>"]


def test_a_long_list_shows_its_earlier_items_while_the_last_is_written() -> None:
    text = "".join(f"{number}. item **{number}** with `code`\n" for number in range(5, 200))
    live = LiveMarkdown()
    for at in range(0, len(text), 13):
        live.append(text[at : at + 13])
        assert live.open_html.count("<ol") <= 1
    assert live.open_html == render_blocks(text)[0]


def test_one_blank_line_spaces_all_items_of_an_open_list() -> None:
    live = LiveMarkdown()
    live.append("- a\n- b\n- c\n- d\n")
    assert "<p>" not in live.open_html
    live.append("\n- e\n")
    assert live.open_html == render_blocks("- a\n- b\n- c\n- d\n\n- e\n")[0]


def test_a_table_shows_each_row_when_it_is_complete() -> None:
    live = LiveMarkdown()
    live.append("| a | b |\n|---|---|\n| 1 | 2 |\n| 3")
    assert live.open_html == render_blocks("| a | b |\n|---|---|\n| 1 | 2 |\n")[0]


MARKS = "a b 1 2 . ( _ ` [ ] : * | < = - + ; ! ' \\ $ ** ]( ~~ && == <b> |-| &amp; \" foo bar 中文 ， é"
LINES = [
    " ",
    "  ",
    "    ",
    "\n",
    "\n\n",
    "- ",
    "1. ",
    "> ",
    "# ",
    "[x] ",
    ") ",
    "]: /u",
    "https://x.y/z",
    "\t",
    "\u3000",
]
PIECES = [*MARKS.split(" "), *LINES]


@given(st.lists(st.sampled_from(PIECES), max_size=30))
@settings(max_examples=200, deadline=None)
def test_words_put_behind_words_are_what_reading_them_gives(pieces: list[str]) -> None:
    live = LiveMarkdown()
    for number in range(len(pieces)):
        live.append(pieces[number])
        fresh = LiveMarkdown()
        fresh.append("".join(pieces[: number + 1]))
        assert (live.open_html, live.closed) == (fresh.open_html, fresh.closed)


def test_words_behind_words_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveMarkdown()
    live.append("- **First:** some words")
    assert live.open_html == "<ul>\n<li><strong>First:</strong> some words</li>\n</ul>"
    monkeypatch.setattr(LiveMarkdown, "_close", None)
    monkeypatch.setattr("chat.rendering.opened.parser", None)
    live.append(" and more,  well-known ")
    live.append("ones")
    assert live.open_html == "<ul>\n<li><strong>First:</strong> some words and more,  well-known ones</li>\n</ul>"


SENTENCES = "It was **late**, and `dark()`; see [here](https://a.example/b) or https://x.example/y too. 中文，**粗**。再 snake_case. "


def test_a_long_paragraph_is_rendered_to_its_last_word() -> None:
    live = LiveMarkdown()
    text = ""
    for number in range(1_500):
        piece = SENTENCES[number * 7 % len(SENTENCES) :][:7]
        text += piece
        live.append(piece)
        html = live.open_html
        if number % 25 == 0:
            assert plain(html) == opened_anew(text)
    assert len(text) > 4 * 2_000


@pytest.mark.parametrize("start", ["", "> ", "- ", "# ", "    ", "[a]: /b\n", "```\n", "$$\n", "1. - "])
def test_what_begins_as_something_else_is_not_read_as_a_long_paragraph(start: str) -> None:
    live = LiveMarkdown()
    text = start
    live.append(start)
    for number in range(250):
        piece = SENTENCES[number * 7 % len(SENTENCES) :][:7]
        text += piece
        live.append(piece)
        assert plain(live.open_html) == plain(opened_anew(text))
    assert 1_200 < len(text) < 2_000


def plain(html: str) -> str:
    """Without the elements that hold the sentences of an open paragraph apart."""
    return html.replace("<span>", "").replace("</span>", "")


def opened_anew(text: str) -> str:
    """The open block as the parser reads it from its start."""
    env: dict[str, object] = {"references": {}, "open": True}
    return "".join(html_of(block, env) for block in top_level(parser.parse(text, env)))


@pytest.mark.parametrize("mark", ["**", "`", "[", "$", "_", "\\("])
def test_sentences_behind_a_mark_that_is_open_wait_for_the_one_that_closes_it(mark: str) -> None:
    closing = {"[": "](https://a.example)", "\\(": "\\)"}.get(mark, mark)
    text = f"Words. {mark}{'Some more words. ' * 60}end{closing} and on. "
    live = LiveMarkdown()
    for piece in text.split(" "):
        live.append(f"{piece} ")
        assert live.open_html
    live.append("\n\n")
    assert live.closed == list(render_blocks(text))


# What it costs


def cpu_of_streaming(text: str, deltas_per_look: int = 5) -> float:
    """CPU seconds for deltas of 3.5 characters on average, with a look at the page after every few."""
    live = LiveMarkdown()
    at = number = 0
    before = time.process_time()
    while at < len(text):
        size = 3 + number % 2
        live.append(text[at : at + size])
        at, number = at + size, number + 1
        if number % deltas_per_look == 0:
            assert live.open_html is not None
    live.finish()
    return time.process_time() - before


WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "**bold**",
    "`code`",
    "epsilon",
    "[link](https://a.example/b)",
    "zeta",
    "*eta*",
]


def prose(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(count))


def answer(length: int) -> str:
    """The corpus's documents in turn, each copy with words of its own, so that no cache helps."""
    rng = random.Random(7)
    documents = [read(path) for path in CORPUS if "pathological" not in path.stem and path.stem != "unclosed_fence"]
    found: list[str] = []
    while sum(map(len, found)) < length:
        found += [f"{prose(rng, 9)}\n\n{document}\n\n" for document in rng.sample(documents, len(documents))]
    return "".join(found)[:length]


@pytest.mark.quiet
def test_nine_thousand_deltas_cost_less_than_a_second_and_a_half() -> None:
    seconds = cpu_of_streaming(answer(31_500))
    print(f"9,000 deltas, 31.5 kB: {seconds:.2f} CPU s")
    assert seconds < 1.5


def one_block(kind: str, length: int) -> str:
    rng = random.Random(3)
    line = {
        "list": lambda n: f"- {prose(rng, 8)}\n",
        "numbered": lambda n: f"{n}. {prose(rng, 8)}\n   - {prose(rng, 5)}\n\n",
        "item": lambda n: f"  - {prose(rng, 8)}\n" if n > 1 else "- x\n",
        "table": lambda n: f"| {prose(rng, 3)} | {n} |\n" if n > 1 else "| a | b |\n|---|---|\n",
        "fence": lambda n: f"    value_{n} = compute({n}, 'x')\n" if n > 1 else "```python\n",
        "paragraph": lambda n: f"{prose(rng, 12)} ",
        "lines": lambda n: f"{prose(rng, 12)}\n",
        "quote": lambda n: f"> {prose(rng, 10)}\n",
        "indented": lambda n: f"    value_{n} = {n}\n",
    }[kind]
    found: list[str] = []
    size = 0
    while size < length:
        found.append(line(len(found) + 1))
        size += len(found[-1])
    return "".join(found)


@pytest.mark.parametrize(
    "kind", ["list", "numbered", "item", "table", "fence", "paragraph", "lines", "quote", "indented"]
)
def test_a_block_four_times_as_long_costs_about_four_times_as_much(kind: str) -> None:
    """The machine is shared: the shorter one is measured at its best of two, the longer has two more chances."""
    short = min(cpu_of_streaming(one_block(kind, 20_000)) for _ in range(2))
    for _ in range(3):
        long = cpu_of_streaming(one_block(kind, 80_000))
        print(f"{kind}: {short:.3f} and {long:.3f} CPU s, ratio {long / short:.1f}")
        # Linear is 4, quadratic 16: the bound stands between them, as far from noise as from a fault.
        if long <= max(8 * short, 0.2):
            return
    pytest.fail(f"four times as long costs {long / short:.1f} times as much")
