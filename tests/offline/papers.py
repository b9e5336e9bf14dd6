"""Documents of the tests.

The text is the first half of chapter III of Charles Darwin, "On the Origin of Species", sixth edition, 1872;
it is in the public domain.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import XPos, YPos

TEXT = (Path(__file__).parent / "struggle_for_existence.txt").read_text(encoding="utf-8")


class _Paper(FPDF):
    def header(self) -> None:
        self.set_font("Helvetica", size=9)
        self.cell(0, 10, "ON THE ORIGIN OF SPECIES", align="C", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def footer(self) -> None:
        self.set_y(-20)
        self.set_font("Helvetica", size=9)
        self.cell(0, 10, f"Page {self.page_no()} of {{nb}}", align="C")


@cache
def darwin_pdf() -> bytes:
    """Ten pages with a running head, page numbers, a table of contents and hyphen-free line breaks."""
    pdf = _Paper(format=(148.0, 210.0))
    pdf.set_auto_page_break(True, margin=24)
    pdf.add_page()
    headings = [line[2:] for line in TEXT.splitlines() if line.startswith("# ")]
    pdf.set_font("Times", "B", 14)
    pdf.multi_cell(0, 9, "Contents", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.set_font("Times", size=11)
    for number, heading in enumerate(headings, start=2):
        pdf.multi_cell(0, 7, f"{heading} ........... {number}", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.add_page()
    for block in TEXT.split("\n\n"):
        if block.startswith("# "):
            pdf.set_font("Times", "B", 14)
            pdf.multi_cell(0, 9, block[2:].strip(), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        else:
            pdf.set_font("Times", size=12)
            pdf.multi_cell(0, 6.5, block.strip(), align="J", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            pdf.ln(2)
    return bytes(pdf.output())


def squeezed(text: str) -> str:
    """Without differences of white space, which a page breaks anywhere."""
    return re.sub(r"\s+", " ", text).strip()
