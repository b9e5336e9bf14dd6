"""What kind of file it is, by its content; and which kinds are taken here.

Between kinds of text alone does the name's ending tell: nothing inside could. Knows no Django.
"""

from __future__ import annotations

import codecs
import mmap
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

PDF = "application/pdf"
GIF = "image/gif"
ZIP = "application/zip"
TAR = "application/x-tar"
PICKLE = "application/octet-stream"
DOC = "application/msword"
PLAIN = "text/plain"

_OPEN_XML = "application/vnd.openxmlformats-officedocument."
DOCX = f"{_OPEN_XML}wordprocessingml.document"
XLSX = f"{_OPEN_XML}spreadsheetml.sheet"
PPTX = f"{_OPEN_XML}presentationml.presentation"

# The code interpreter's table. SVG is XML here and HTML is text: neither is ever shown as a page or a picture.
TEXTS = {
    ".c": "text/x-c",
    ".cpp": "text/x-c++",
    ".cs": "text/x-csharp",
    ".css": "text/css",
    ".csv": "text/csv",
    ".html": "text/html",
    ".java": "text/x-java",
    ".js": "text/javascript",
    ".json": "application/json",
    ".md": "text/markdown",
    ".php": "text/x-php",
    ".py": "text/x-python",
    ".rb": "text/x-ruby",
    ".sh": "application/x-sh",
    ".svg": "application/xml",
    ".tex": "text/x-tex",
    ".ts": "application/typescript",
    ".txt": PLAIN,
    ".xml": "application/xml",
}
BINARIES = {
    ".doc": DOC,
    ".docx": DOCX,
    ".pkl": PICKLE,
    ".pptx": PPTX,
    ".tar": TAR,
    ".xlsx": XLSX,
    ".zip": ZIP,
}
DATA = frozenset([*TEXTS.values(), *BINARIES.values()])

# Readers of PDF look for its header this far into the file (ISO 32000-2, Annex C of older editions).
PDF_HEADER_WITHIN = 1024

# What exports are written in. The last one takes nearly all bytes; control characters tell what is no text.
ENCODINGS = ("utf-8", "gb18030", "big5", "cp949", "shift_jis", "cp1252")
WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
CHUNK_BYTES = 256 * 1024
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@dataclass(frozen=True)
class Accepted:
    """What is taken besides PDF, PNG, JPEG and WEBP: as much as the models that are offered can use."""

    gif: bool = False
    data: bool = False

    def takes(self, media_type: str) -> bool:
        if media_type == GIF:
            return self.gif
        return self.data or media_type not in DATA

    @property
    def sentence(self) -> str:
        pictures = ["PDF", "PNG", "JPEG", "WEBP", *(["GIF"] if self.gif else [])]
        if self.data:
            return f"{', '.join(pictures)}, text, tables, code, Office documents and archives are accepted."
        return f"{', '.join(pictures[:-1])} and {pictures[-1]} files are accepted."

    @property
    def for_the_picker(self) -> str:
        """The `accept` of a file input."""
        taken = [PDF, "image/png", "image/jpeg", "image/webp", *([GIF] if self.gif else [])]
        return ",".join([*taken, *(sorted([*TEXTS, *BINARIES]) if self.data else [])])


EVERYTHING = Accepted(gif=True, data=True)


def kind_of(path: Path, name: str) -> str | None:
    """The media type, or None for what is none of ours. A ZIP may still turn out to be an Office document."""
    with path.open("rb") as file:
        head = file.read(PDF_HEADER_WITHIN + 5)
    return _by_signature(head) or _by_structure(path, head) or (_text_kind(name) if is_text(path, head) else None)


def is_locked_office(path: Path) -> bool:
    """Office documents with a password are no ZIP, but an older container around one."""
    with path.open("rb") as file:
        return file.read(len(_OLE)) == _OLE and _holds(path, "EncryptedPackage")


def is_text(path: Path, head: bytes) -> bool:
    encodings = ("utf-16",) if head.startswith(WIDE_MARKS) else ENCODINGS
    return any(_decodes(path, encoding) for encoding in encodings)


def _by_signature(head: bytes) -> str | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ZIP
    junk, header, _ = head.partition(b"%PDF-")
    # Leading junk happens in honest files; markup there is a page that poses as a PDF.
    return PDF if header and b"<" not in junk else None


def _by_structure(path: Path, head: bytes) -> str | None:
    if head[257:262] == b"ustar" and _is_tar_header(head[:512]):
        return TAR
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and _last_byte(path) == b".":
        return PICKLE
    if head.startswith(_OLE) and _holds(path, "WordDocument"):
        return DOC
    return None


def _text_kind(name: str) -> str:
    return TEXTS.get(PurePath(name).suffix.lower(), PLAIN)


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                if _CONTROL.search(decoder.decode(chunk)):
                    return False
        return not _CONTROL.search(decoder.decode(b"", final=True))
    except UnicodeDecodeError:
        return False


def _is_tar_header(block: bytes) -> bool:
    """The sum over the header, in which its own field counts as spaces."""
    stated = block[148:156].strip(b"\0 ")
    if len(block) < 512 or not re.fullmatch(rb"[0-7]+", stated):
        return False
    return int(stated, 8) == sum(block[:148]) + 8 * ord(" ") + sum(block[156:])


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1)


def _holds(path: Path, stream: str) -> bool:
    """Whether an OLE container names such a stream."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        return whole.find(stream.encode("utf-16-le")) >= 0
