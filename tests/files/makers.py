"""Files made when a test needs them, honest and otherwise."""

from __future__ import annotations

import struct
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage
from fpdf import FPDF
from PIL import ExifTags, Image


class RemoteStorage(Storage):
    """Stands for a bucket: it holds bytes, and no file of it has a path."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def _save(self, name: str, content: File[Any]) -> str:
        self.held[name] = content.read()
        return name

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        return ContentFile(self.held[name])

    def exists(self, name: str) -> bool:
        return name in self.held

    def delete(self, name: str) -> None:
        self.held.pop(name, None)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        return [], [name.rpartition("/")[2] for name in self.held if name.rpartition("/")[0] == path]


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def make_pdf(path: Path, pages: list[str], *, title: str = "", **encryption: Any) -> Path:
    """A PDF with one text per page; `owner_password` and `user_password` protect it."""
    document = FPDF()
    if title:
        document.set_title(title)
    if encryption:
        document.set_encryption(**encryption)
    document.set_font("helvetica", size=12)
    for text in pages:
        document.add_page()
        document.multi_cell(0, 8, text)
    document.output(str(path))
    return path


def make_crowded_pdf(path: Path, strokes: int) -> Path:
    """One page with very many strokes, such as a map."""
    document = FPDF()
    document.add_page()
    lines = (f"{index % 500} {index % 800} m {index * 7 % 500} {index * 3 % 800} l S" for index in range(strokes))
    document._out("\n".join(lines))
    document.output(str(path))
    return path


def make_pdf_bomb(path: Path, unpacked_megabytes: int) -> Path:
    """One page of nothing but spaces, packed a thousandfold."""
    packed = swollen(b" " * 1024 * 1024, unpacked_megabytes)
    path.write_bytes(
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R>>endobj\n"
        b"4 0 obj<</Length "
        + str(len(packed)).encode()
        + b"/Filter/FlateDecode>>stream\n"
        + packed
        + b"\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    )
    return path


def make_scan(path: Path, pages: int) -> Path:
    """A PDF of pictures of pages, as scanners write it."""
    document = FPDF()
    picture = Image.effect_noise((60, 80), 80).convert("L")
    for _ in range(pages):
        document.add_page()
        document.image(picture, x=10, y=10, w=100)
    document.output(str(path))
    return path


def make_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_office(path: Path, main: str) -> Path:
    """What makes an Office document one: `main` is "word/document.xml" or alike."""
    return make_zip(path, {"[Content_Types].xml": b"<Types/>", "_rels/.rels": b"<Relationships/>", main: b"<x/>"})


def ole(stream: str) -> bytes:
    """The beginning and a directory entry of the container that older Office documents are."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1016) + stream.encode("utf-16-le") + bytes(400)


def swollen(piece: bytes, times: int) -> bytes:
    """What zlib makes of the piece so many times, without packing it as often."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(times):
        checksum = zlib.adler32(piece, checksum)
    return b"\x78\xda" + packed * times + b"\x03\x00" + checksum.to_bytes(4, "big")


def make_zip_bomb(path: Path, unpacked_megabytes: int) -> Path:
    """One member of 16 MB, listed again and again."""
    data = make_zip(path, {"a.bin": bytes(16 * 1024 * 1024)}).read_bytes()
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    times = unpacked_megabytes // 16
    listed = data[start:end] * times
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, times, times, len(listed), start, 0)
    path.write_bytes(data[:start] + listed + tail)
    return path


def make_image(
    path: Path, format: str = "PNG", size: tuple[int, int] = (40, 30), mode: str = "RGB", **save: Any
) -> Path:
    Image.new(mode, size, **({"color": "teal"} if mode == "RGB" else {})).save(path, format, **save)
    return path


def make_noise(path: Path, format: str = "PNG", size: tuple[int, int] = (400, 300)) -> Path:
    """An image that does not compress, so that cutting it cuts pixels."""
    Image.effect_noise(size, 80).convert("RGB").save(path, format)
    return path


def exif_of_a_camera(*, orientation: int, place: bool = False) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Model] = "Testcamera"
    if place:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(
            {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (48.0, 51.0, 29.0)}
        )
    return exif


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises `width` x `height` pixels and holds next to none."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
