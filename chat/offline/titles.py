"""A short title for a conversation, from the text that it begins with."""

from __future__ import annotations

import re

from .language import CJK_CHAR

ASKED = re.compile(r"^\W*(?:write|give|create|generate|suggest|make)\b[^.\n]{0,40}\btitle\b", re.IGNORECASE)
MAX_WORDS = 6
MAX_CJK = 16
_LABEL = re.compile(r"^\s*(?:user|question|person|human|message|conversation|text|input)\s*:\s*", re.IGNORECASE)
_ANSWER = re.compile(r"\n\s*(?:assistant|answer|reply|model)\s*:.*", re.IGNORECASE | re.DOTALL)
_FILES = re.compile(r"\n\s*Attached files: (.+)\s*\Z")
_POLITE = re.compile(
    r"^(?:(?:hi|hello|hey|dear all|good (?:morning|evening)|please|kindly|thanks|so|ok(?:ay)?|well|hallo|bitte|bonjour|salut|hola|por favor"
    r"|s'il (?:te|vous) pla[iî]t)\b[\s,!.]*|(?:can|could|would|will) (?:you|we|i)\s+(?:please\s+)?(?:(?:help me|tell me|show me|explain|give me)\s+(?:to\s+|about\s+)?)?"
    r"|(?:i(?:'d| would) like (?:you )?to|i (?:want|need) (?:you )?to)\s+(?:know\s+)?|(?:tell me|explain(?: to me)?|show me|help me)\s+(?:about\s+)?"
    r"|(?:kannst|könntest) du (?:mir )?(?:bitte )?|peux-tu |pouvez-vous |puedes |podrías |请问|請問|请|請|你好[，,！!。]?|帮我|幫我)+",
    re.IGNORECASE,
)
_DANGLING = frozenset(
    [
        "the",
        "a",
        "an",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "and",
        "or",
        "but",
        "with",
        "from",
        "by",
        "is",
        "are",
        "was",
        "were",
        "that",
        "this",
        "my",
        "your",
        "its",
        "their",
        "into",
        "about",
        "as",
        "if",
        "der",
        "die",
        "das",
        "ein",
        "eine",
        "und",
        "oder",
        "von",
        "mit",
        "zu",
        "im",
        "in",
        "für",
        "le",
        "la",
        "les",
        "un",
        "une",
        "de",
        "du",
        "des",
        "et",
        "ou",
        "à",
        "en",
        "el",
        "los",
        "las",
        "y",
        "o",
        "con",
        "para",
    ]
)


def question_of(text: str) -> str:
    """What the person said, of an exchange that was written down as "User: … Assistant: …"."""
    question = _ANSWER.sub("", _LABEL.sub("", text.strip())).strip()
    # With a file alone nothing was said, and the label takes the lines up to the answer with it.
    return "" if question.lower().startswith("assistant:") else question


def files_of(text: str) -> list[str]:
    """The names in the closing line "Attached files: a.pdf, b.pdf" of such an exchange."""
    found = _FILES.search(text)
    return found[1].split(", ") if found else []


def _beginning(words: list[str]) -> list[str]:
    """The first words. Signs between them do not count: half a sum would ask something else."""
    ends = [number for number, word in enumerate(words, start=1) if re.search(r"\w", word)]
    return words[: ends[:MAX_WORDS][-1]] if ends else words[:MAX_WORDS]


def title(text: str) -> str:
    """Three to six words where the text has them; never empty."""
    text = question_of(text)
    text = " ".join(text.split()).strip("\"'“”")
    text = _POLITE.sub("", text) or text
    first = re.split(r"(?<=\w)[.?!](?:\s|$)|[。？！\n]|[:;] ", text, maxsplit=1)[0].strip(" ,.-–—*#`\"'“”")
    if CJK_CHAR.search(first[:12]):
        clause = re.split(r"[，、,；;：:]", first, maxsplit=1)[0]
        return (clause if len(clause) >= 4 else first)[:MAX_CJK] or "新对话"
    words = _beginning(first.split())
    while len(words) > 3 and words[-1].lower().strip(",") in _DANGLING:
        words.pop()
    short = " ".join(words).strip(" ,.-–—")[:60]
    return short[:1].upper() + short[1:] if re.search(r"\w", short) else "New conversation"
