"""Code in an answer → spans with pygments' classes. The colours are in `static/chat/css/code.css`."""

from hashlib import blake2b
from sys import getsizeof

from pygments import highlight as pygmentize
from pygments.formatters.html import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

from chat.rendering.cache import ByteBoundedCache
from chat.rendering.escape import escape

# Lexers are piles of regular expressions: some take seconds for a megabyte, or for one endless line.
MAX_CHARS = 50_000
MAX_LINE = 2_000

CLASSES = frozenset(name for name in STANDARD_TYPES.values() if name)

_formatter: HtmlFormatter[str] = HtmlFormatter(nowrap=True)
_cache: ByteBoundedCache[tuple[str, bytes], str] = ByteBoundedCache(8 << 20, getsizeof)


def highlight(code: str, language: str) -> str:
    """Return safe HTML for `code`; plain escaped text where the language is unknown or the code too large."""
    if not language or len(code) > MAX_CHARS or _has_endless_line(code):
        return escape(code)
    key = language.lower(), blake2b(code.encode(), digest_size=16).digest()
    known = _cache.get(key)
    if known is None:
        lexer = _lexer(language)
        known = escape(code) if lexer is None else _coloured(code, lexer)
        _cache.put(key, known)
    return known


def _coloured(code: str, lexer: Lexer) -> str:
    html = pygmentize(code, lexer, _formatter)
    # The formatter ends the last line, whether or not it was ended.
    return html if code.endswith("\n") else html.removesuffix("\n")


def _has_endless_line(code: str) -> bool:
    return len(code) > MAX_LINE and max(map(len, code.split("\n"))) > MAX_LINE


def _lexer(language: str) -> Lexer | None:
    try:
        # The text must come back as it was written: no stripped blank lines.
        return get_lexer_by_name(language.lower(), stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
