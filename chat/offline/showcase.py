"""Markdown of any length that shows what a page can render: for demonstrations and for measuring."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .language import number

_LENGTH = re.compile(
    r"(\d[\d.,]*)\s*(k)?\s*-?\s*(tokens?|words?|characters?|chars|wörter[n]?|zeichen|mots|palabras|词|字|語|文字|단어|토큰)",
    re.IGNORECASE,
)
_PARAGRAPHS = re.compile(r"(\w+)\s+(?:paragraphs?|absätze?|paragraphes?|párrafos?)", re.IGNORECASE)
ASKED = re.compile(
    r"\b(?:show|render|test|demo(?:nstrate)?)\b.*\bmarkdown\b|^\s*(?:markdown|demo|showcase)\s*[.!?]*\s*$|\bmarkdown (?:demo|showcase|test)\b"
    r"|\b(?:write|give|generate|produce|send|create)\b.*\b(?:long|lengthy)\b.*\b(?:text|answer|essay|article|story|document|response)\b"
    r"|\b(?:write|generate|produce|give)\b.*\b\d[\d.,]*k?\s*-?\s*(?:tokens?|words?|characters?)\b|lorem ipsum"
    r"|(?:schreibe?|erzeuge)\b.*\blangen? text|(?:écris|rédige)\b.*\blong texte|(?:escribe|redacta)\b.*\btexto largo"
    r"|(?:写|寫).*(?:长文|長文|很长|很長)|長い文章|긴 글",
    re.IGNORECASE | re.DOTALL,
)
CHARACTERS_PER = {"t": 4.0, "w": 6.2, "c": 1.0}
MAX_CHARACTERS = 400_000
DEFAULT_CHARACTERS = 4_000
LONG_CHARACTERS = 12_000

_SENTENCES = (
    "A page that streams is a page that is never finished until it suddenly is.",
    "The first word matters more than the last one, because it tells the reader that somebody is at work.",
    "What is already on the screen should not move when the next word arrives.",
    "A paragraph can be redrawn a hundred times a second, but an eye follows at most a few of them.",
    "Small steps are easier to undo than large ones, and cheaper to repeat.",
    "Every buffer is a promise that somebody will come and empty it.",
    "A good heading is a sentence that has been asked to be brief.",
    "Numbers belong in a table as soon as there are more than three of them.",
    "Whoever reads from the end upwards wants the newest answer, not the longest one.",
    "An error message is a letter to someone who is already having a bad day.",
    "Text has a texture: lists are coarse, prose is fine, and code is woven.",
    "The measure of a line is about sixty-six characters, give or take the habits of the reader.",
    "Nothing is as quick as the work that was not done.",
    "A quotation borrows a voice, and ought to give it back unchanged.",
    "When two things change together, they probably want to live together.",
    "Half of the art of waiting is knowing that something is still happening.",
)
_TOPICS = (
    "Arriving text", "Rhythm and pauses", "Measuring what matters", "The shape of a table", "Code in the middle",
    "Formulas that stay put", "Lists inside lists", "Voices of others", "Long lines and short ones", "Coming back later",
)  # fmt: skip
_CODE = (
    (
        "python",
        'def fold(deltas: list[str]) -> str:\n    """Join what arrived, in order."""\n    text = []\n    for delta in deltas:\n        text.append(delta)\n    return "".join(text)',
    ),
    (
        "javascript",
        'const stream = await fetch("/v1/responses", { method: "POST", body });\nfor await (const chunk of stream.body) {\n  console.log(chunk.length); // bytes so far\n}',
    ),
    (
        "sql",
        "SELECT status, count(*) AS answers, avg(output_tokens) AS tokens\nFROM responses\nGROUP BY status\nORDER BY answers DESC;",
    ),
    ("bash", "for size in 100 1000 10000; do\n  printf '%s tokens\\n' \"$size\"\ndone | sort -n"),
    ("json", '{\n  "type": "response.output_text.delta",\n  "delta": "Hello",\n  "sequence_number": 4\n}'),
)
_FORMULAS = (
    r"\int_0^1 x^{n}\,dx = \frac{1}{n+1}",
    r"\sum_{k=1}^{n} k = \frac{n(n+1)}{2}",
    r"e^{i\pi} + 1 = 0",
    r"\sigma = \sqrt{\frac{1}{N}\sum_{i=1}^{N}(x_i-\mu)^2}",
    r"x_{1,2} = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}",
)


def wanted_characters(question: str) -> int:
    """How long the text shall be, from "about 9000 tokens", "500 words", "2k characters", "3 paragraphs"."""
    match = _LENGTH.search(question)
    if match:
        count = int(re.sub(r"\D", "", match[1]) or 0) * (1000 if match[2] else 1)
        unit = match[3].lower()
        per = CHARACTERS_PER["t" if unit.startswith(("tok", "토큰")) else "w" if unit[0] in "wmp" else "c"]
        return max(200, min(MAX_CHARACTERS, round(count * per)))
    paragraphs = _PARAGRAPHS.search(question)
    count_word = number(paragraphs[1]) if paragraphs else None
    if count_word:
        return min(MAX_CHARACTERS, 450 * count_word)
    return LONG_CHARACTERS if re.search(r"\blong|lang|长|長|긴", question, re.IGNORECASE) else DEFAULT_CHARACTERS


def showcase(characters: int) -> str:
    """Rich Markdown of about this length: whole blocks, and at the end sentences that fill the rest."""
    blocks: list[str] = []
    length = 0
    for block in _blocks():
        if length + len(block) + 2 > characters:
            break
        blocks.append(block)
        length += len(block) + 2
    filling: list[str] = []
    step = 0
    while length < characters - 40 or not (blocks or filling):
        sentence = _SENTENCES[(step * 5 + 3) % len(_SENTENCES)]
        filling.append(sentence)
        length += len(sentence) + 1
        step += 1
    return "\n\n".join([*blocks, " ".join(filling)] if filling else blocks)


def _blocks() -> Iterator[str]:
    """Chapters without end, no two alike in their numbers."""
    yield "# A page of everything"
    yield (
        "This text shows what the page can render: **bold**, *italic*, ~~struck~~, `code`, [a link](https://example.org/) "
        "and a formula in the line, $a^2 + b^2 = c^2$."
    )
    chapter = 0
    while True:
        topic = _TOPICS[chapter % len(_TOPICS)]
        yield f"## {chapter + 1}. {topic}"
        yield _prose(chapter, 4)
        yield _special(chapter)
        yield _prose(chapter + 7, 3)
        chapter += 1


def _prose(seed: int, count: int) -> str:
    return " ".join(_SENTENCES[(seed * 7 + step * 3) % len(_SENTENCES)] for step in range(count))


def _special(chapter: int) -> str:
    match chapter % 6:
        case 0:
            return "- first things first\n- then the details\n  - one of them\n  - and another, with `code`\n- [x] done\n- [ ] still open"
        case 1:
            name, code = _CODE[(chapter // 6) % len(_CODE)]
            return f"```{name}\n{code}\n```"
        case 2:
            rows = [
                f"| {size} | {size * 4} | {size * (chapter + 3) / 100:.1f} s |" for size in (100, 500, 2000 + chapter)
            ]
            return "| Tokens | Characters | Time |\n|-------:|-----------:|-----:|\n" + "\n".join(rows)
        case 3:
            return f"$$\n{_FORMULAS[(chapter // 6) % len(_FORMULAS)]}\n$$"
        case 4:
            return f"> {_prose(chapter, 2)}\n>\n> — from the margin of page {chapter + 11}"
        case _:
            name, code = _CODE[(chapter // 6 + 2) % len(_CODE)]
            return f"1. Read the question.\n2. Find the passage.\n3. Quote it:\n\n   ```{name}\n   {code.splitlines()[0]}\n   ```\n4. Stop."
