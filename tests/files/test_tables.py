"""The first rows of a file of values, as a person looks at them."""

from __future__ import annotations

import pytest

from chat.files import tables
from chat.files.tables import COLUMNS, ROWS, is_table, parse
from chat.models import Attachment


def test_the_first_fifty_rows_are_shown_and_all_are_counted() -> None:
    table = parse(b"n,square\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(1234)))
    assert table is not None
    assert (list(table.heading), len(table.rows), table.rows[49]) == (["n", "square"], ROWS, ["49", "2401"])
    assert table.caption == "The first 50 of 1,234 rows"


@pytest.mark.parametrize(
    "data",
    [
        "a;b\n1;2\n",
        "a\tb\r\n1\t2\r\n",
        "a|b\n1|2",
        '"a","b"\n\n"1","2"\n',
    ],
)
def test_a_table_is_read_however_it_is_written(data: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        table = parse(data.encode(encoding))
        assert table is not None
        assert (list(table.heading), list(map(list, table.rows))) == (["a", "b"], [["1", "2"]])
        assert table.caption == "1 row"


@pytest.mark.parametrize(
    ("data", "heading"),
    [("名字,x\n".encode("gb18030"), "名字"), (b"a\x81\xff,x\n", "a\x81ÿ")],
)
def test_any_bytes_are_read_as_something(data: bytes, heading: str) -> None:
    table = parse(data)
    assert table is not None
    assert table.heading[0] == heading


@pytest.mark.parametrize("data", [b"", b"\n\n", b"a,b\n1," + b"x" * 200_000 + b"\n"])
def test_what_is_no_table_is_none(data: bytes) -> None:
    assert parse(data) is None


def test_wide_rows_and_long_cells_are_cut() -> None:
    table = parse((",".join(["n" * 900] * 90) + "\n1,2\n").encode())
    assert table is not None
    assert len(table.heading) == COLUMNS
    assert len(table.heading[0]) == tables.CELL_CHARACTERS + 1
    assert table.caption == f"1 row, the first {COLUMNS} columns of them"


def test_of_a_file_that_is_too_long_to_count_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "READ_BYTES", 1000)
    table = parse(b"a,b\n" + b"1,2\n" * 2000)
    assert table is not None
    assert table.caption == "The first 50 of more than 249 rows"
    assert all(row == ["1", "2"] for row in table.rows)


@pytest.mark.parametrize(
    ("name", "media_type", "expected"),
    [
        ("a.csv", "text/csv", True),
        ("A.TSV", "text/plain", True),
        ("a.txt", "text/plain", False),
        ("a.csv", "image/png", False),
        ("a.csv", "application/pdf", False),
    ],
)
def test_a_table_goes_by_its_name_and_is_no_picture(name: str, media_type: str, expected: bool) -> None:
    assert is_table(Attachment(name=name, media_type=media_type)) is expected
