"""The conversation → what to say. Deterministic; runs in a thread, so it may take its time over a document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import arithmetic, calls, mcp, pictures, reasoning, schemas, showcase, titles, tools, wishes
from .bench import Bench
from .documents import Document, Sentence, Unreadable, from_notes, from_pages, from_text, read
from .intake import Asked
from .language import language_of
from .narration import Answer, estimate_tokens
from .passages import Passage, find
from .phrases import phrase
from .pieces import Piece, Speech
from .summarise import Wanted, key_terms, summarise
from .talk import Attached, Talk, listen
from .wires import Json

PASTED_CHARACTERS = 600  # from here on, a text behind "summarize:" is a document of its own
IMAGE_TOKENS = 255
QUOTED_CHARACTERS = 1200
NOTE_WORDS = 24  # about so many has a sentence


@dataclass(frozen=True)
class Reply:
    """Markdown, and which closing line belongs under it; none where the text goes into a machine."""

    text: str
    closing: str | None = "closing"


def think(asked: Asked, bench: Bench) -> Answer:
    """Work out the answer to a request."""
    talk = listen(asked.body, asked.items)
    pieces = _pieces(talk, asked, bench)
    musing = reasoning.muse(asked.body, _thoughts(talk), bench.seal)
    return Answer((musing, *pieces) if musing else tuple(pieces), _count(asked.body, talk))


def input_tokens(asked: Asked) -> int:
    """How much would be read for an answer."""
    return _count(asked.body, listen(asked.body, asked.items))


def _thoughts(talk: Talk) -> list[str]:
    documents, _ = _open(talk.current.files or _latest(talk, is_image=False))
    named = [(escaped(name), document) for name, document in documents]
    return reasoning.thoughts(named, [str(tool.get("name") or tool["type"]) for tool in talk.tools])


# What to answer


def _pieces(talk: Talk, asked: Asked, bench: Bench) -> list[Piece]:
    if titles.ASKED.search(talk.instructions):
        return [Speech(_title(talk))]
    pieces = _done(talk, asked, bench)
    shape = (asked.body.get("text") or {}).get("format") or {}
    if shape.get("type") in ("json_object", "json_schema"):
        said = pieces or [Speech(_words(talk).text)]
        pieces = [_as_json(shape, piece, talk) if isinstance(piece, Speech) else piece for piece in said]
    return [*mcp.listings(talk, asked.host), *(pieces or [_said(talk)])]


def _done(talk: Talk, asked: Asked, bench: Bench) -> list[Piece] | None:
    """What a tool does for the question, or else for want of a better one because the request demands it."""
    if talk.approvals:
        return mcp.after_approval(talk.approvals, talk.tools, asked.host)
    if talk.outputs:
        return None
    for is_forced in (False, True) if calls.must_call(talk.tool_choice) else (False,):
        wanted: list[Piece] = [*calls.wanted_calls(talk, is_forced=is_forced)]
        if done := wanted or tools.use(talk, asked, bench, is_forced=is_forced):
            return done
    return None


def _words(talk: Talk) -> Reply:
    return Reply(calls.tell_outputs(talk.outputs)) if talk.outputs else _reply(talk, _language(talk))


def _said(talk: Talk) -> Speech:
    """An answer in words, and under it the line that says who wrote it."""
    reply = _words(talk)
    return Speech(f"{reply.text}\n\n*{phrase(reply.closing, _language(talk))}*" if reply.closing else reply.text)


def _as_json(shape: Json, speech: Speech, talk: Talk) -> Speech:
    """The same in the JSON that was asked for."""
    source = schemas.Source(talk.question, speech.text)
    filled = schemas.fill(shape["schema"], source) if shape["type"] == "json_schema" else {"answer": speech.text}
    return Speech(json.dumps(filled, ensure_ascii=False))


def _language(talk: Talk) -> str:
    """The language to answer in: that of the question; failing one, of the document."""
    if talk.question:
        return language_of(talk.question)
    documents, _ = _open(talk.current.files)
    return documents[0][1].language if documents else "en"


def _title(talk: Talk) -> str:
    first = next((said for said in talk.said if said.role == "user"), talk.current)
    question = titles.question_of(first.text)
    files = [file.name for file in first.files if not file.is_image] or titles.files_of(first.text)
    if files and (not question or wishes.is_summary(question)):
        return phrase("summary_of", language_of(question) if question else "en", name=files[0])
    return titles.title(first.text)


def _reply(talk: Talk, language: str) -> Reply:
    question = talk.question
    if not talk.current.files:
        plain = _plain_reply(talk, language)
        if plain is not None:
            return plain
    images = [file for file in talk.current.files if file.is_image]
    files = [file for file in talk.current.files if not file.is_image]
    if files and (words := wishes.notes_wanted(question)) is not None:
        return Reply(_notes(files, words), None)
    if files:
        told = _about_files(files, question, talk, language, attached_now=True)
        assert told is not None
        return Reply("\n\n".join([told, *_about_images(images)]), "closing_document")
    if images:
        return Reply("\n\n".join(_about_images(images)), "closing_image")
    if wishes.SUMMARY.search(question[:200]) and len(question) > PASTED_CHARACTERS:
        return Reply(_summary_of_pasted(question, language), "closing_document")
    earlier = _latest(talk, is_image=False)
    if earlier:
        told = _about_files(earlier, question, talk, language, attached_now=False)
        if told is not None:
            return Reply(told, "closing_document")
    pictured = _latest(talk, is_image=True)
    if pictured and wishes.IMAGE.search(question):
        return Reply("\n\n".join(_about_images(pictured)), "closing_image")
    return Reply(f"{phrase('cannot', language)}\n\n{phrase('abilities', language)}", None)


def _latest(talk: Talk, *, is_image: bool) -> list[Attached]:
    """The files of this kind that were attached last, however long ago."""
    for said in reversed(talk.earlier):
        files = [file for file in said.files if file.is_image == is_image]
        if files:
            return files
    return []


def _plain_reply(talk: Talk, language: str) -> Reply | None:
    """What needs neither model nor document."""
    question = talk.question
    if not question or wishes.GREETING.match(question):
        return Reply(f"{phrase('hello', language)}\n\n{phrase('abilities', language)}")
    if wishes.THANKS.match(question):
        return Reply(phrase("welcome", language))
    if match := wishes.REPEAT.match(question):
        return Reply(match[1].strip())
    sum_ = arithmetic.expression(question)
    if sum_ is not None and (worked := _worked_out(sum_)) is not None:
        return Reply(worked)
    if showcase.ASKED.search(question) and not _latest(talk, is_image=False):
        return Reply(showcase.showcase(showcase.wanted_characters(question)))
    if wishes.ABILITIES.search(question) and len(question) < 100:
        return Reply(phrase("abilities", language))
    return _about_conversation(talk, language)


def _worked_out(text: str) -> str | None:
    shown = text.replace("**", "^").replace("*", "×")
    try:
        return f"{shown} = **{arithmetic.evaluate(text)}**"
    except arithmetic.Undefined as error:
        return f"{shown}: {error}."
    except ValueError:
        return None


def _about_conversation(talk: Talk, language: str) -> Reply | None:
    question, earlier = talk.question, talk.earlier_questions
    if len(question) > 200:
        return None
    if wishes.FIRST_QUESTION.search(question):
        return _recalled("first_question", earlier[:1], language)
    if wishes.LAST_QUESTION.search(question):
        return _recalled("last_question", earlier[-1:], language)
    if wishes.LAST_ANSWER.search(question):
        answers = [said.text for said in talk.earlier if said.role == "assistant"]
        return _recalled("last_answer", answers[-1:], language)
    if wishes.SO_FAR.search(question):
        if not earlier:
            return Reply(phrase("nothing_before", language))
        listed = "\n".join(f"{order}. {_excerpt(text, 200)}" for order, text in enumerate(earlier, start=1))
        return Reply(f"{phrase('so_far', language)}\n\n{listed}")
    if wishes.is_fact(question):
        return Reply(phrase("noted", language))
    fact = wishes.remembered(question, earlier)
    return Reply(phrase("told", language, fact=f"“{escaped(fact)}”")) if fact else None


def _recalled(name: str, texts: Sequence[str], language: str) -> Reply:
    if not texts:
        return Reply(phrase("nothing_before", language))
    return Reply(f"{phrase(name, language)}\n\n{_quoted(_excerpt(texts[0], QUOTED_CHARACTERS))}")


# Documents


def _open(files: Iterable[Attached]) -> tuple[list[tuple[str, Document]], list[tuple[str, Unreadable]]]:
    """Read the files: those that have text, and those that have none with the reason."""
    documents: list[tuple[str, Document]] = []
    unreadable: list[tuple[str, Unreadable]] = []
    for file in files:
        if file.pages:
            documents.append((file.name, from_pages(file.pages)))
        if file.notes:
            documents.append((file.name, from_notes(file.notes)))
        if file.is_image or file.blob is None:
            continue
        try:
            documents.append((file.name, read(file.blob)))
        except Unreadable as error:
            unreadable.append((file.name, error))
    return documents, unreadable


def _about_files(
    files: Sequence[Attached], question: str, talk: Talk, language: str, *, attached_now: bool
) -> str | None:
    """A summary or the passages that answer; None when a later remark has nothing to do with the documents."""
    documents, unreadable = _open(files)
    parts = [
        phrase(error.reason, language, name=f"**{escaped(name)}**", count=error.page_count)
        for name, error in unreadable
    ]
    told = _about_documents(documents, question, talk, language, attached_now) if documents else None
    if told is None and not (parts and (attached_now or wishes.is_question(question) or wishes.is_summary(question))):
        return None
    return "\n\n".join([*parts, told] if told else parts)


def _about_documents(
    documents: Sequence[tuple[str, Document]], question: str, talk: Talk, language: str, attached_now: bool
) -> str | None:
    if wishes.PAGE_COUNT.search(question):
        counted = [(name, document.page_count) for name, document in documents if document.has_pages]
        return "\n\n".join(
            phrase("page_count", language, name=f"**{escaped(name)}**", count=count) for name, count in counted
        )
    is_comparison = len(documents) > 1 and wishes.COMPARISON.match(question)
    if wishes.is_summary(question) or is_comparison or (attached_now and not wishes.is_question(question)):
        return _summaries(documents, wishes.wanted_summary(question), language)
    found = _passages(documents, question) or _passages(documents, _with_context(question, talk))
    if found:
        return _quotes(found, [name for name, _ in documents], language)
    if wishes.page_of(question) is not None:
        return _summaries(documents, wishes.wanted_summary(question), language)
    if not wishes.is_question(question):
        return None
    about = ", ".join(
        dict.fromkeys(term for _, document in documents for term in key_terms(document.prose, document.language, 6))
    )
    names = ", ".join(f"**{escaped(name)}**" for name, _ in documents)
    return phrase("nothing", language, name=names, terms=escaped(about) or "–")


def _with_context(question: str, talk: Talk) -> str:
    """A follow-up such as "and why?" is about what was asked before."""
    if (
        len(question) > 40
        or not talk.earlier_questions
        or not re.match(
            r"^\W*(?:and|why|how so|more|go on|und|warum|et|pourquoi|y|por qué|那|为什么|為什麼|なぜ|それで|왜|그리고)\b",
            question,
            re.IGNORECASE,
        )
    ):
        return ""
    return f"{talk.earlier_questions[-1]} {question}"


def _passages(documents: Sequence[tuple[str, Document]], question: str) -> list[tuple[str, Passage]]:
    found = [(name, passage) for name, document in documents for passage in find(document, question)]
    found.sort(key=lambda entry: -entry[1].score)
    return found[:3]


def _quotes(found: Sequence[tuple[str, Passage]], names: Sequence[str], language: str) -> str:
    used = list(dict.fromkeys(name for name, _ in found))
    lines = [phrase("found", language, name=", ".join(f"**{escaped(name)}**" for name in used))]
    for name, passage in found:
        source = f"{escaped(name)}, " if len(names) > 1 else ""
        cited = (
            f" ({source}p.\u00a0{passage.page})"
            if passage.document.has_pages
            else f" ({source.rstrip(', ')})"
            if source
            else ""
        )
        lines.append(_quoted(f"{escaped(passage.text)}{cited}"))
    return "\n\n".join(lines)


def _summaries(documents: Sequence[tuple[str, Document]], wanted: Wanted, language: str) -> str:
    are_several = len(documents) > 1
    return "\n\n".join(
        _summary(escaped(name), document, wanted, language, f"{escaped(name)}, " if are_several else "")
        for name, document in documents
    )


def _notes(files: Sequence[Attached], words: int) -> str:
    """One statement a line, with its page, under the headings of the text: what a summary is made of later."""
    documents, _ = _open(files)
    lines = []
    for _, document in documents:
        chosen = summarise(document, Wanted(gist=0, points=max(1, words // NOTE_WORDS))).points
        if not chosen:
            chosen = tuple(sentence for sentence in document.sentences if len(sentence.text) > 3)[:2]
        section = 0
        for sentence in chosen:
            if sentence.section != section and document.headings[sentence.section]:
                lines.append(f"### {document.headings[sentence.section]}")
            section = sentence.section
            lines.append(f"- {sentence.text} (p.\u00a0{sentence.page})")
    return "\n".join(lines) or "–"


def _summary(name: str, document: Document, wanted: Wanted, language: str, source: str = "") -> str:
    summary = summarise(document, wanted)
    chosen = [*summary.gist, *summary.points]
    if not chosen:
        texts = [sentence for sentence in document.sentences if wanted.page in (None, sentence.page)]
        listed = "\n".join(f"- {_cited(sentence, document, source)}" for sentence in texts[:12])
        return f"{phrase('too_little', language, name=f'**{name}**')}\n\n{listed}".strip()
    pages = (
        f" ({phrase('pages', language, count=document.page_count)})"
        if document.has_pages and document.page_count > 1
        else ""
    )
    blocks = [f"### {phrase('summary_of', language, name=name)}{pages}"]
    if summary.gist:
        blocks.append(" ".join(_cited(sentence, document, source) for sentence in summary.gist))
    if summary.points and wanted.shape == "paragraph":
        blocks.append(" ".join(_cited(sentence, document, source) for sentence in summary.points))
    elif summary.points:
        blocks += _points(summary.points, document, wanted, language, source)
    if summary.key_terms and not wanted.points and not wanted.max_words:
        blocks.append(f"**{phrase('key_terms', language)}:** {escaped(', '.join(summary.key_terms))}")
    return "\n\n".join(blocks)


def _points(
    points: Sequence[Sentence], document: Document, wanted: Wanted, language: str, source: str = ""
) -> list[str]:
    """The points as one list; a detailed summary puts them under the document's own headings."""
    if wanted.detailed and len({point.section for point in points}) > 2:
        blocks = []
        for section in dict.fromkeys(point.section for point in points):
            listed = [f"- {_cited(point, document, source)}" for point in points if point.section == section]
            heading = document.headings[section] or phrase("key_points", language)
            blocks += [f"**{escaped(heading)}**", "\n".join(listed)]
        return blocks
    listed = [f"- {_cited(point, document, source)}" for point in points]
    return [f"**{phrase('key_points', language)}**", "\n".join(listed)]


def _cited(sentence: Sentence, document: Document, source: str = "") -> str:
    """`source`: the file and a comma, where there are several."""
    text = escaped(sentence.text)
    return f"{text} ({source}p.\u00a0{sentence.page})" if document.has_pages else text


def _summary_of_pasted(question: str, language: str) -> str:
    """Everything behind the request, which ends at the first line end or colon."""
    request, _, text = (
        re.split(r"(\n|[:：])", question, maxsplit=1) if re.search(r"\n|[:：]", question[:200]) else ("", "", question)
    )
    return _summary(phrase("your_text", language), from_text(text), wishes.wanted_summary(request), language)


# Images


def _about_images(images: Sequence[Attached]) -> list[str]:
    told = []
    for order, image in enumerate(images, start=1):
        name = escaped(image.name) if image.name != "image" else "Image"
        heading = f"**{name}{f' {order}' if len(images) > 1 else ''}**"
        if image.blob is None:
            told.append(
                f"{heading}\n\n- The image stands at an address; the embedded engine has no network to fetch it."
            )
        else:
            told.append("\n".join([heading, "", *pictures.describe(image.blob.path)]))
    return told


# Text


def escaped(text: str) -> str:
    """Text of a document as Markdown that shows it unchanged."""
    text = re.sub(r"([\\`*\[\]<>$~|])|(?<!\w)_|_(?!\w)", lambda match: "\\" + match[0], " ".join(text.split()))
    return re.sub(r"^(?=[#+-])|(?<=^\d)(?=[.)])|(?<=^\d\d)(?=[.)])", r"\\", text)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _excerpt(text: str, characters: int) -> str:
    text = escaped(text)
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def _count(body: Json, talk: Talk) -> int:
    texts = [talk.instructions, *(said.text for said in talk.said), *(output for _, output in talk.outputs)]
    if talk.tools:
        texts.append(json.dumps(talk.tools))
    tokens = sum(estimate_tokens(text) for text in texts)
    for said in talk.said:
        documents, _ = _open(said.files)
        tokens += sum(-(-document.characters // 4) for _, document in documents)
        tokens += IMAGE_TOKENS * sum(file.is_image for file in said.files)
    return tokens
