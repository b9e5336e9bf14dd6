"""How large, how long and how many, where no setting says it."""

from __future__ import annotations

# A picture is decoded whole to prove it; at 4 bytes a pixel this is 320 MB, and one is decoded at a time.
IMAGE_MAX_PIXELS = 80_000_000

# Twice the chip's width, for dense screens.
THUMBNAIL_WIDTH = 480
THUMBNAIL_HEIGHT = 640
THUMBNAIL_QUALITY = 70

PDF_MAX_PAGES = 5_000

# Time inside pdfium for one document; waiting for other documents does not count.
PDF_SECONDS = 60.0
