"""The first rows of a file of comma separated values, for a person to look at."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from chat.files.kinds import ENCODINGS, WIDE_MARKS
from chat.files.storage import on_disk
from chat.models import Attachment

ROWS = 50
COLUMNS = 40
CELL_CHARACTERS = 300
# So much of a file is read to count its rows; of a larger one, it is said that there are more.
READ_BYTES = 16 * 1024 * 1024
DELIMITERS = ",;\t|"
NAMES = (".csv", ".tsv")


@dataclass(frozen=True)
class Table:
    """`_table.html`. `rows` are the first ones, `count` all of them, without the heading; there may be `more` yet."""

    heading: Sequence[str]
    rows: Sequence[Sequence[str]]
    count: int
    more: bool = False
    more_columns: bool = False

    @property
    def caption(self) -> str:
        """How many rows there are, and how many of them stand here."""
        count = f"{'more than ' if self.more else ''}{self.count:,} row{'' if self.count == 1 else 's'}"
        shown = f"The first {len(self.rows)} of {count}" if self.count > len(self.rows) or self.more else count
        return f"{shown}, the first {COLUMNS} columns of them" if self.more_columns else shown


def is_table(attachment: Attachment) -> bool:
    return attachment.is_data and attachment.name.lower().endswith(NAMES)


def first_rows(attachment: Attachment) -> Table | None:
    """None when there is no table in it. Blocks. Raises FileNotFoundError when the bytes are gone."""
    with on_disk(attachment) as path, path.open("rb") as file:
        data = file.read(READ_BYTES + 1)
    return parse(data)


def parse(data: bytes) -> Table | None:
    is_cut = len(data) > READ_BYTES
    if is_cut:
        data = data[: data.rfind(b"\n", 0, READ_BYTES) + 1]
    text = _decoded(data)
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    rows = (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row)
    try:
        heading = next(rows, None)
        if heading is None:
            return None
        first = [_short(row) for row in islice(rows, ROWS)]
        count = len(first) + sum(1 for _ in rows)
    except csv.Error:
        return None
    width = max(map(len, [heading, *first]))
    return Table(_short(heading), first, count, is_cut, more_columns=width > COLUMNS)


def _short(row: Sequence[str]) -> list[str]:
    return [cell if len(cell) <= CELL_CHARACTERS else f"{cell[:CELL_CHARACTERS]}…" for cell in row[:COLUMNS]]


def _decoded(data: bytes) -> str:
    for encoding in _encodings(data):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _encodings(data: bytes) -> Iterator[str]:
    if data.startswith(WIDE_MARKS):
        yield "utf-16"
    yield "utf-8-sig"
    yield from ENCODINGS
