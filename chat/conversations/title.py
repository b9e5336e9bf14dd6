"""A title from the first exchange, asked of the same model in a request of its own."""

from __future__ import annotations

from typing import Any

from chat.conversations.parameters import thrifty_reasoning
from chat.models import Deployment, Turn
from chat.responses.dialects import Dialect

TITLE_INSTRUCTIONS = (
    "Write a title of three to six words for the conversation below, in its language. "
    "Answer with the title alone: no quotation marks, no full stop."
)
EXCERPT_CHARACTERS = 1500
LONGEST_TITLE = 80
LONGEST_ANSWER = LONGEST_TITLE + 20  # with the marks around it
MARKS = "#*_`\"'“”„«» "
MAX_TOKENS = 1_000  # a title has ten; the rest is for a model that thinks first, and an end for one that finds none


def wants_title(turn: Turn) -> bool:
    """Only the first turn names a conversation, and never against its owner's own title."""
    return turn.parent_id is None and not turn.conversation.titled_by_owner


def title_request(turn: Turn, answer: str, deployment: Deployment, dialect: Dialect) -> dict[str, Any]:
    """The request's body. It is not stored upstream where that can be said, and asks for little thought."""
    exchange = f"User: {turn.question[:EXCERPT_CHARACTERS]}\n\nAssistant: {answer[:EXCERPT_CHARACTERS]}"
    names = ", ".join(attachment.name for attachment in turn.attachments.all())
    if names:
        exchange += f"\n\nAttached files: {names}"
    body: dict[str, Any] = {
        "model": deployment.name,
        "instructions": TITLE_INSTRUCTIONS,
        "input": exchange,
        "max_output_tokens": MAX_TOKENS,
    }
    if reasoning := thrifty_reasoning(deployment, dialect):
        body["reasoning"] = reasoning
    if dialect.store:
        body["store"] = False
    return body


def is_written(text: str) -> bool:
    """Whether more of the answer is of no use: the title's line is over, or it is none."""
    line, ended, _ = text.lstrip(f"{MARKS}\n").partition("\n")
    return bool(ended) or len(line) > LONGEST_ANSWER


def clean_title(text: str) -> str:
    """The first line that says something, without the quotes and marks that models add.

    "" for a whole paragraph, such as small models give for an answer: the question's beginning says more than its.
    """
    for line in text.splitlines():
        title = line.strip().strip(MARKS).removeprefix("Title:").strip(MARKS).rstrip(f".{MARKS}")
        if title:
            return title if len(title) <= LONGEST_TITLE else ""
    return ""
