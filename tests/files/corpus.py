"""What people upload, honest and otherwise, and what each file gets: `python -m tests.files.corpus` prints the table.

Everything is built here. A model that runs code is offered, so that all kinds are taken that ever are.
"""

from __future__ import annotations

import os
import pickle
import random
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tests.files import makers

if TYPE_CHECKING:
    from chat.models import Attachment, User

Make = Callable[[Path], object]

READY, REFUSED = "ready", "refused"
NO_KIND = "is of a kind that cannot be read here"
BROKEN = "is broken and cannot be read"
LOCKED = "is protected with a password"
TOO_MUCH = "needs too much memory to be read"


@dataclass(frozen=True)
class Case:
    """A file, and what it gets: the beginning of its description when it is ready, or words of the refusal."""

    name: str
    make: Make
    status: str
    words: str


def written(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def text(words: str, encoding: str = "utf-8") -> Make:
    return written(words.encode(encoding))


def pdf(*pages: str, **options: str) -> Make:
    return lambda path: makers.make_pdf(path, list(pages), **options)


def image(format: str = "PNG", size: tuple[int, int] = (40, 30), mode: str = "RGB", **save: object) -> Make:
    return lambda path: makers.make_image(path, format, size, mode, **save)


def changed(make: Make, change: Callable[[bytes], bytes]) -> Make:
    """Of an honest file something else."""

    def make_changed(path: Path) -> None:
        make(path)
        path.write_bytes(change(path.read_bytes()))

    return make_changed


def raw_pdf(objects: list[bytes], root: int = 1) -> bytes:
    """As a person would write it by hand: without a table of where the objects are, which readers find by themselves."""
    body = b"".join(b"%d 0 obj%s endobj\n" % (number, data) for number, data in enumerate(objects, start=1))
    return b"%PDF-1.5\n" + body + b"trailer<</Root %d 0 R>>\n%%%%EOF" % root


CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]>>"


def many_pages(count: int) -> bytes:
    return raw_pdf([CATALOG, b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, b"3 0 R " * count), PAGE])


def chinese() -> bytes:
    """In a font that is not in the file, as such documents often are."""
    words = "春眠不覺曉".encode("utf-16-be").hex().encode()
    content = b"BT /F1 24 Tf 72 700 Td <%s> Tj ET" % words
    font = b"<</Type/Font/Subtype/Type0/BaseFont/STSong-Light/Encoding/UniGB-UTF16-H/DescendantFonts[5 0 R]>>"
    return raw_pdf(
        [
            CATALOG,
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 4 0 R>>>>/Contents 6 0 R>>",
            font,
            b"<</Type/Font/Subtype/CIDFontType0/BaseFont/STSong-Light/DW 1000"
            b"/CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)/Supplement 4>>>>",
            b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        ]
    )


def active_pdf() -> bytes:
    action = b"<</S/JavaScript/JS(app.alert(1))>>"
    pages = b"<</Type/Pages/Count 1/Kids[3 0 R]>>"
    return raw_pdf([b"<</Type/Catalog/Pages 2 0 R/OpenAction 4 0 R>>", pages, PAGE, action])


def wide_png(width: int, height: int) -> bytes:
    """A whole picture of nothing, packed a thousandfold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = makers.swollen(bytes(1 + 3 * width), height)
    parts = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return makers.PNG_SIGNATURE + b"".join(makers.chunk(kind, data) for kind, data in parts)


def talkative_png(path: Path) -> None:
    """A comment that unpacks to more than Pillow reads."""
    makers.make_image(path)
    data = path.read_bytes()
    comment = makers.chunk(b"zTXt", b"Comment\0\0" + makers.swollen(b" " * 1024 * 1024, 80))
    path.write_bytes(data[:33] + comment + data[33:])


def moving_gif(path: Path) -> None:
    frames = [Image.new("RGB", (50, 40), colour) for colour in ("red", "blue")]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def tar(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = 4
        archive.addfile(member, BytesIO(b"a,b\n"))


def packed(**members: bytes) -> Make:
    named = {name.replace("_", "."): data for name, data in members.items()}
    return lambda path: makers.make_zip(path, named, zipfile.ZIP_STORED)


def locked(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def noise(format: str) -> Make:
    return lambda path: makers.make_noise(path, format)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


# One dot on a screen of 65,535 dots a side.
HUGE_GIF = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2\x44\1\0;"
_junk = random.Random(5).randbytes(4000)

CASES = (
    # Documents
    Case("one page.pdf", pdf("The harbour froze in January."), READY, "application/pdf, 1 page, 1 with text"),
    Case("titled.pdf", pdf("one", title="The Harbour"), READY, "application/pdf, 1 page, 1 with text, “The Harbour”"),
    Case("300 pages.pdf", pdf(*(f"Page {n} of many." for n in range(300))), READY, "application/pdf, 300 pages, 300"),
    Case("half of it blank.pdf", pdf("one", "", "three", ""), READY, "application/pdf, 4 pages, 2 with text"),
    Case("春眠不覺曉.pdf", written(chinese()), READY, "application/pdf, 1 page, 1 with text"),
    Case("scan.pdf", lambda path: makers.make_scan(path, 12), READY, "application/pdf, 12 pages, 0 with text"),
    Case("map.pdf", lambda path: makers.make_crowded_pdf(path, 20_000), READY, "application/pdf, 1 page"),
    Case("banner.pdf", changed(pdf("x"), lambda d: d.replace(b"595.28", b"199999")), READY, "application/pdf, 1 page"),
    Case("junk before.pdf", changed(pdf("x"), lambda d: b"\r\njunk\0" * 99 + d), READY, "application/pdf, 1 page"),
    Case("junk behind.pdf", changed(pdf("x"), lambda d: d + _junk), READY, "application/pdf, 1 page"),
    Case("by hand.pdf", written(many_pages(2)), READY, "application/pdf, 2 pages, 0 with text"),
    Case("may not be printed.pdf", pdf("x", owner_password="a"), READY, "application/pdf, 1 page, 1 with text"),
    Case("runs a script.pdf", written(active_pdf()), READY, "application/pdf, 1 page"),
    Case("locked.pdf", pdf("x", owner_password="a", user_password="b"), REFUSED, LOCKED),
    Case("cut.pdf", changed(pdf("x" * 3000), half), REFUSED, BROKEN),
    Case("header alone.pdf", written(b"%PDF-1.7\n"), REFUSED, BROKEN),
    Case("no page.pdf", written(raw_pdf([CATALOG, b"<</Type/Pages/Count 0/Kids[]>>"])), REFUSED, BROKEN),
    Case("no root.pdf", written(raw_pdf([CATALOG], root=9)), REFUSED, BROKEN),
    Case("in circles.pdf", written(raw_pdf([CATALOG, b"<</Type/Pages/Count 1/Kids[2 0 R]>>"])), REFUSED, BROKEN),
    Case("deep.pdf", written(raw_pdf([CATALOG, b"[" * 200_000, PAGE])), REFUSED, BROKEN),
    Case("6000 pages.pdf", written(many_pages(6000)), REFUSED, "has 6000 pages; up to 5000 are accepted"),
    Case("bomb.pdf", lambda path: makers.make_pdf_bomb(path, 900), REFUSED, TOO_MUCH),
    # Pictures
    Case("picture.png", image(), READY, "image/png, 40 × 30"),
    Case("dot.png", image(size=(1, 1)), READY, "image/png, 1 × 1"),
    Case("grey.png", image(mode="I;16"), READY, "image/png, 40 × 30"),
    Case(
        "photo.jpg", image("JPEG", exif=makers.exif_of_a_camera(orientation=6, place=True)), READY, "image/jpeg, 30 ×"
    ),
    Case("print.jpg", image("JPEG", mode="CMYK"), READY, "image/jpeg, 40 × 30"),
    Case("picture.webp", image("WEBP"), READY, "image/webp, 40 × 30"),
    Case("picture.gif", image("GIF"), READY, "image/gif, 40 × 30"),
    Case("moving.gif", moving_gif, READY, "image/gif, 50 × 40"),
    Case("79 megapixels.png", written(wide_png(8900, 8900)), READY, "image/png, 8900 × 8900"),
    Case("cut.png", changed(noise("PNG"), half), REFUSED, BROKEN),
    Case("cut.jpg", changed(noise("JPEG"), half), REFUSED, BROKEN),
    Case("cut.webp", changed(noise("WEBP"), half), REFUSED, BROKEN),
    Case("header alone.jpg", written(b"\xff\xd8\xff\xe0" + bytes(20)), REFUSED, BROKEN),
    Case("one bit off.png", changed(noise("PNG"), lambda d: d[:500] + bytes([d[500] ^ 1]) + d[501:]), REFUSED, BROKEN),
    Case("bomb.png", written(makers.png_header(100_000, 100_000)), REFUSED, "has more than 80 megapixels"),
    Case("talkative.png", talkative_png, REFUSED, BROKEN),
    Case("bomb.gif", written(HUGE_GIF), REFUSED, "has more than 80 megapixels"),
    Case("bitmap.bmp", image("BMP"), REFUSED, NO_KIND),
    Case("fax.tiff", image("TIFF"), REFUSED, NO_KIND),
    # Names that lie
    Case("contract.pdf", image(), READY, "image/png, 40 × 30"),
    Case("photo.png.exe", pdf("x"), READY, "application/pdf, 1 page"),
    Case("picture of words.png", text("only words"), READY, "text/plain"),
    Case("table.xlsx", text("a,b\n1,2\n"), READY, "text/plain"),
    Case("../../etc/passwd", image("JPEG"), READY, "image/jpeg"),
    Case("exe.\u202egnp.pdf", pdf("x"), READY, "application/pdf"),
    # Two in one
    Case("picture and document.pdf", changed(image(), lambda d: d + many_pages(1)), READY, "image/png, 40 × 30"),
    Case("picture and archive.zip", changed(image(), lambda d: d + b"PK\x03\x04" + _junk), READY, "image/png, 40"),
    Case("archive and document.pdf", packed(a_pdf=many_pages(1)), READY, "application/zip"),
    Case("page and document.pdf", written(b"<script>alert(1)</script>" + many_pages(1)), READY, "text/plain"),
    Case("picture and script.gif", written(b"GIF89a=1;/*" + b" " * 40 + b"*/alert(1)"), REFUSED, BROKEN),
    # Data
    Case("table.csv", text("city,people\nOslo,717710\n"), READY, "text/csv"),
    Case("表格.csv", text("城市,人口\n北京,2189\n", "gb18030"), READY, "text/csv"),
    Case("notes.txt", text("words\r\n", "utf-16"), READY, "text/plain"),
    Case("page.html", text("<!doctype html><script>alert(1)</script>"), READY, "text/html"),
    Case("drawing.svg", text('<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>'), READY, "application/xml"),
    Case("script.py", text("print(1)\n"), READY, "text/x-python"),
    Case("one byte", written(b"x"), READY, "text/plain"),
    Case("letter.docx", lambda path: makers.make_office(path, "word/document.xml"), READY, "application/vnd"),
    Case("book.xlsx", lambda path: makers.make_office(path, "xl/workbook.xml"), READY, "application/vnd"),
    Case("talk.pptx", lambda path: makers.make_office(path, "ppt/presentation.xml"), READY, "application/vnd"),
    Case("letter.doc", written(makers.ole("WordDocument")), READY, "application/msword"),
    Case("all.zip", packed(a_csv=b"a,b\n"), READY, "application/zip"),
    Case("all.tar", tar, READY, "application/x-tar"),
    Case("frame.pkl", written(pickle.dumps({"a": [1, 2]})), READY, "application/octet-stream"),
    Case("book with a password.xlsx", written(makers.ole("EncryptedPackage")), REFUSED, LOCKED),
    Case("locked.zip", changed(packed(a_csv=b"a"), locked), REFUSED, LOCKED),
    Case("cut.zip", changed(packed(a_csv=b"a"), half), REFUSED, "is broken and cannot be unpacked"),
    Case("empty.zip", written(b"PK\x05\x06" + bytes(18)), REFUSED, "is an archive with nothing in it"),
    Case("bomb.zip", lambda path: makers.make_zip_bomb(path, 100_000), REFUSED, "unpacks to more than 1024 MB"),
    # Neither
    Case("zero bytes.pdf", written(b""), REFUSED, "is empty"),
    Case("nothing but zeros.pdf", written(bytes(5000)), REFUSED, NO_KIND),
    Case("noise.pdf", written(_junk), REFUSED, NO_KIND),
    Case("program.pdf", written(b"MZ\x90\0" + bytes(60)), REFUSED, NO_KIND),
    Case("sound.wav", written(b"RIFF\0\0\0\0WAVE" + bytes(40)), REFUSED, NO_KIND),
    Case("packed.gz", written(zlib.compress(_junk, wbits=31)), REFUSED, NO_KIND),
    Case("sheet.xls", written(makers.ole("Workbook")), REFUSED, NO_KIND),
    Case("table.csv with a zero", written(b"a,b\n\0"), REFUSED, NO_KIND),
)


def build(folder: Path) -> list[Path]:
    paths = [folder / f"{number:03d}" for number in range(len(CASES))]
    for path, case in zip(paths, CASES, strict=True):
        case.make(path)
    return paths


def upload(owner: User, path: Path, name: str) -> tuple[str, str]:
    """What the file gets, on the way that all take: its status, and how it is described or refused."""
    from django.conf import settings

    from chat.files import intake, kinds

    data = path.read_bytes()
    try:
        attachment = intake.begin(owner, name, len(data))
    except intake.Refused as refused:
        return REFUSED, refused.sentence
    for offset in range(0, len(data), settings.FILE_SLICE_BYTES):
        intake.append_slice(attachment, offset, data[offset : offset + settings.FILE_SLICE_BYTES])
    intake.finish(attachment, kinds.EVERYTHING)
    described = attachment.refusal if attachment.status == REFUSED else describe(attachment)
    return attachment.status, described


def describe(attachment: Attachment) -> str:
    parts = [attachment.media_type]
    if attachment.pages is not None:
        pages = "1 page" if attachment.pages == 1 else f"{attachment.pages} pages"
        parts += [pages, f"{attachment.text_pages} with text"]
    if attachment.title:
        parts.append(f"“{attachment.title}”")
    if attachment.width:
        parts.append(f"{attachment.width} × {attachment.height}")
    return ", ".join(parts)


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.db import connection
    from django.test import override_settings

    from chat.models import User

    connection.creation.create_test_db(verbosity=0)
    with tempfile.TemporaryDirectory() as folder, override_settings(MEDIA_ROOT=f"{folder}/media"):
        owner = User.objects.create(username="alice")
        for path, case in zip(build(Path(folder)), CASES, strict=True):
            status, words = upload(owner, path, case.name)
            right = "" if (status, case.words in words) == (case.status, True) else "   UNEXPECTED"
            sys.stdout.write(f"{case.name!a:34} {path.stat().st_size:>9,}  {status:8} {words}{right}\n")


if __name__ == "__main__":
    main()
