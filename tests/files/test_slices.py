"""Slices that rest in a storage without paths: joined by their offsets, whoever received them."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat.files.slices import InStorage
from chat.models import Attachment
from tests.files.makers import RemoteStorage


@pytest.mark.parametrize(
    ("slices", "is_whole"),
    [
        ([(0, b"abc"), (3, b"def")], True),
        ([(3, b"def"), (0, b"abc")], True),
        ([(0, b"abcd"), (3, b"def")], True),
        ([(0, b"abc"), (0, b"abc"), (3, b"def")], True),
        ([(0, b"ab"), (3, b"def")], False),
        ([(0, b"abc")], False),
        ([], False),
    ],
    ids=["in order", "out of order", "overlapping", "twice", "gap", "no end", "nothing"],
)
def test_slices_become_the_file_or_are_missed(tmp_path: Path, slices: list[tuple[int, bytes]], is_whole: bool) -> None:
    storage = RemoteStorage()
    kept, other, attachment = InStorage(storage), Attachment(size=6), Attachment(size=6)
    kept.write(other, 0, b"another")
    for offset, chunk in slices:
        kept.write(attachment, offset, chunk)
    assert kept.gather(attachment, tmp_path / "whole") is is_whole
    if is_whole:
        assert (tmp_path / "whole").read_bytes() == b"abcdef"
    kept.drop(attachment)
    assert len(storage.held) == 1
