"""ZIP archives, and the Office documents that are such: unpacked once, to nowhere, as proof that they are whole.

Only the expendable process of `trial` comes here: a list of members alone can fill the memory.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path

from chat.files import kinds, limits
from chat.files.errors import Refused

READ_BYTES = 1024 * 1024
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, NotImplementedError)
_LOCKED = 0x1

OFFICE = {
    "word/document.xml": kinds.DOCX,
    "xl/workbook.xml": kinds.XLSX,
    "ppt/presentation.xml": kinds.PPTX,
}
CONTENTS = "[Content_Types].xml"


def examine(path: Path, *, called: str) -> str:
    """The media type: what the members make of it. Raises Refused for a bomb, a locked or a broken archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse(members, called)
            for member in members:
                _unpack(archive, member)
    except _DAMAGED as error:
        raise Refused(f"{called} is broken and cannot be unpacked. Save or pack it again, then attach it.") from error
    names = {member.filename for member in members}
    return next((kind for name, kind in OFFICE.items() if CONTENTS in names and name in names), kinds.ZIP)


def _refuse(members: list[zipfile.ZipInfo], called: str) -> None:
    if not members:
        raise Refused(f"{called} is an archive with nothing in it. Check the file and attach it again.")
    if any(member.flag_bits & _LOCKED for member in members):
        raise Refused(f"{called} is protected with a password. Remove the password and attach it again.")
    unpacked = sum(member.file_size for member in members)
    if len(members) > limits.ARCHIVE_MAX_MEMBERS or unpacked > limits.ARCHIVE_MAX_BYTES:
        raise Refused(
            f"{called} unpacks to more than {limits.ARCHIVE_MAX_BYTES // 1024 // 1024} MB or "
            f"{limits.ARCHIVE_MAX_MEMBERS:,} files, which is the limit. Pack less into it."
        )


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Read it to its end: one that holds more than it states does not agree with its checksum."""
    with archive.open(member) as unpacked:
        while unpacked.read(READ_BYTES):
            pass
