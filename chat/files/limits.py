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

# Up to here “automatic” sends a PDF inside the request, and uploads it from there on. By `python -m tests.bench.crossover`
# a file that is asked about once costs the same both ways at 2.3 MB over a line of 20 Mbit/s, at 5.7 MB over 50 and at
# 11.9 MB over 200: base64 makes a third more of it, an upload takes another round trip and a check (0.3 s). Asked about
# again elsewhere, a copy pays at once (0.4, 1.1 and 3.4 MB); but it also stays at the provider until it is deleted.
AUTO_INLINE_BYTES = 4 * 1024 * 1024

# The wire's ceiling for an image's data URL is 20,971,520 characters; base64 makes 4 of 3.
IMAGE_SENT_MAX_BYTES = 15_000_000

# Models scale a picture into a square of this side before they look at it; more is paid for and not seen.
IMAGE_SENT_SIDE = 2048

# Above this, a picture that was made smaller goes as JPEG, whatever it was.
IMAGE_SENT_LOSSLESS_BYTES = 4_000_000

# Time for one picture, and for one archive. Decoding the largest ones takes two or three seconds.
IMAGE_SECONDS = 20.0
ARCHIVE_SECONDS = 30.0

# What an archive may unpack to. It is never unpacked here, but whoever is given it will.
ARCHIVE_MAX_BYTES = 1024 * 1024 * 1024
ARCHIVE_MAX_MEMBERS = 10_000

# The address space of the process that looks into a file first, and how many of them there may be at once.
TRIAL_BYTES = 1024 * 1024 * 1024
TRIALS_AT_ONCE = 2

# A check that has lasted for so long was cut off, and whoever asks next begins it anew.
CHECK_SECONDS = 120.0

# Without JavaScript a file comes as a form, which is parsed on the event loop: 45 ms a MB.
PLAIN_FORM_BYTES = 2 * 1024 * 1024

# A painted page of a PDF: as wide as a window shows it, and twice that for dense screens. Other widths are not
# painted, so that nobody fills the storage with them. A very high page may be so many times as high as wide.
PAGE_WIDTHS = (800, 1600)
PAGE_MAX_HEIGHTS = 4
PAGE_QUALITY = 80

# How many painted pages of one document are kept: a few hundred kB each.
PAGES_KEPT = 200

# Processes that paint, how long one may take over a page, and how long it waits for the next.
PAINTERS = 2
PAINTER_SECONDS = 20.0
PAINTER_IDLE_SECONDS = 60.0
