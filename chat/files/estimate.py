"""How many tokens a file will be, before anything is sent. Roughly: only the provider knows its tokeniser.

Of a PDF both text and a picture of each page enter the context, where the provider reads PDFs; its text alone where it is
sent as text. Pictures are counted by tiles. See: OpenAI, "File inputs" and "Images and vision" (2026-11).
What they cost is said where the deployment has prices, and nothing where it has none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from chat.files.errors import quoted
from chat.models import Attachment, prices

if TYPE_CHECKING:
    from chat.responses.dialects import Dialect

# Usually, and at most. One character of Chinese, Japanese or Korean is nearly a word.
CHARACTERS_PER_TOKEN, MOST_CHARACTERS_PER_TOKEN = 4.0, 5.0
DENSE_CHARACTERS_PER_TOKEN, MOST_DENSE_CHARACTERS_PER_TOKEN = 1.3, 2.0

# A picture is fitted into this square, then its shorter side to that; what counts is how many tiles cover it.
FITTED_SIDE = 2048
SHORTER_SIDE = 768
TILE_SIDE = 512
TOKENS_PER_TILE = 170
TOKENS_PER_PICTURE = 85  # besides its tiles, and all that a picture costs where it is looked at roughly
PAGE = (768, 1086)  # A4

# From here on a file is said to have many: five such documents fill the window of many a model.
MANY_TOKENS = 20_000

# Of the window, what is left for a document beside question, instructions and answer.
SHARE_FOR_FILES = 0.8

_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def tokens(attachment: Attachment, dialect: Dialect | None = None) -> int:
    """About so many, as this provider counts; without one, as those do that read PDFs. 0 for what is not sent as input."""
    if attachment.is_image:
        return picture_tokens(attachment.width or 0, attachment.height or 0)
    if attachment.is_data:
        return 0
    pages = (attachment.pages or 0) * picture_tokens(*PAGE) if _is_seen(dialect) else 0
    return text_tokens(attachment) + pages


def text_tokens(attachment: Attachment) -> int:
    """Of its text alone."""
    return _text_tokens(attachment, CHARACTERS_PER_TOKEN, DENSE_CHARACTERS_PER_TOKEN)


def least_tokens(attachment: Attachment, dialect: Dialect | None = None) -> int:
    """At least so many, whatever the model: its pages may be looked at roughly, its words may be long."""
    if attachment.is_image:
        return TOKENS_PER_PICTURE
    if attachment.is_data:
        return 0
    pages = (attachment.pages or 0) * TOKENS_PER_PICTURE if _is_seen(dialect) else 0
    return _text_tokens(attachment, MOST_CHARACTERS_PER_TOKEN, MOST_DENSE_CHARACTERS_PER_TOKEN) + pages


def picture_tokens(width: int, height: int) -> int:
    if not width or not height:
        return TOKENS_PER_PICTURE
    scale = min(1.0, FITTED_SIDE / max(width, height))
    scale *= min(1.0, SHORTER_SIDE / (min(width, height) * scale))
    # Rounded first: 1536 is three tiles, and no fraction of a pixel makes it four.
    across, down = (math.ceil(round(side * scale, 3) / TILE_SIDE) for side in (width, height))
    return TOKENS_PER_PICTURE + TOKENS_PER_TILE * across * down


def in_words(count: int) -> str:
    """As a chip says it: two digits that count, for more would be made up."""
    if count < 100:
        return f"about {count} tokens"
    step = 10 ** (len(str(count)) - 2)
    return f"about {round(count / step) * step:,} tokens"


def is_much(count: int, cost: Decimal | None) -> bool:
    """Whether somebody might want to know before they send it."""
    return count >= MANY_TOKENS or (cost is not None and cost >= prices.coin())


def with_cost(count: int, cost: Decimal | None) -> str:
    return in_words(count) if cost is None else f"{in_words(count)}, {prices.about(cost)}"


def overflow(attachments: Sequence[Attachment], window: int | None, dialect: Dialect) -> str:
    """The sentence for files that surely do not fit into this context window, or "". What may fit is for the provider."""
    if not window or sum(least_tokens(attachment, dialect) for attachment in attachments) <= window:
        return ""
    size = in_words(sum(tokens(attachment, dialect) for attachment in attachments))
    is_one = len(attachments) == 1
    has = f"{quoted(attachments[0].name)} has" if is_one else f"These {len(attachments)} files have"
    fits = _pages_that_fit(attachments[0], window, dialect) if is_one else ""
    less = "Choose some of its pages" if is_one and attachments[0].pages else "Attach less"
    has_text = all(attachment.is_pdf and attachment.text_characters for attachment in attachments)
    parts = ", have it summarized, which works by parts," if is_one and has_text else ","
    return (
        f"{has} {size}; this model reads {window:,} at once, with question and answer{fits}. "
        f"{less}{parts} or choose a model that reads more."
    )


def _pages_that_fit(attachment: Attachment, window: int, dialect: Dialect) -> str:
    pages = attachment.pages or 1
    fit = int(pages * window * SHARE_FOR_FILES / tokens(attachment, dialect))
    return f": about {fit:,} of its {pages:,} pages" if fit and pages > 1 else ""


def _is_seen(dialect: Dialect | None) -> bool:
    return dialect is None or dialect.pdf_input


def _text_tokens(attachment: Attachment, per_token: float, dense_per_token: float) -> int:
    # Which script it is in is known of its names alone.
    is_dense = _DENSE.search(attachment.title or attachment.name)
    return math.ceil((attachment.text_characters or 0) / (dense_per_token if is_dense else per_token))
