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

# A picture of the first page is a courtesy: it gets less.
PAINT_SECONDS = 2.0

# What "automatic" sends inside the request: encoding and sending it again each turn costs less than a
# second round trip.
AUTO_INLINE_BYTES = 4 * 1024 * 1024

# The wire's ceiling for an image's data URL is 20,971,520 characters; base64 makes 4 of 3.
IMAGE_SENT_MAX_BYTES = 15_000_000
IMAGE_SENT_SIDE = 4096

# The address space of the process that reads a PDF first, and how many of them there may be at once.
TRIAL_BYTES = 1024 * 1024 * 1024
TRIALS_AT_ONCE = 2
