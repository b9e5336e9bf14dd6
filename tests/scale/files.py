"""A file on its way through a server, as a page sends it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fpdf import FPDF

from tests.house.people import FIELD, Person
from tests.house.serving import Server

SLICE_BYTES = 1024 * 1024
ADDRESS = re.compile(r'"(/files/[0-9a-f-]{36}/)"')


def make_pdf_of(size: int, folder: Path) -> bytes:
    """A PDF of one page, and of at least so many bytes: readers pass over what follows its end."""
    document = FPDF()
    document.set_font("helvetica", size=12)
    document.add_page()
    document.cell(text="Large, and says little.")
    return bytes(document.output()) + b"\n%" + os.urandom(size).hex().encode()[:size]


async def attach(person: Person, server: Server, data: bytes, *others: Server) -> str:
    """Send it in slices, by turns to each of the servers; gives its address."""
    form = dict(FIELD.findall((await person.http.get(f"{server.url}/")).text))
    headers = {"Origin": server.url, "HX-Request": "true"}
    announced = await person.http.post(
        f"{server.url}/files/", data={**form, "name": "large.pdf", "size": str(len(data))}, headers=headers
    )
    assert announced.status_code == 200, announced.text
    found = ADDRESS.search(announced.text)
    assert found, announced.text
    servers = [server, *others]
    for number, offset in enumerate(range(0, len(data), SLICE_BYTES)):
        to = servers[number % len(servers)]
        answer = await person.http.put(
            f"{to.url}{found[1]}slice/",
            content=data[offset : offset + SLICE_BYTES],
            headers={
                "Origin": to.url,
                "X-CSRFToken": form["csrfmiddlewaretoken"],
                "Upload-Offset": str(offset),
                "Content-Type": "application/octet-stream",
            },
        )
        assert answer.status_code in (200, 204), answer.text
    assert answer.status_code == 200
    return found[1]
