"""TeX in an answer → MathML, on the server: no script and no fonts are loaded for a formula.

`latex2mathml` returns a string in which `<` stands unescaped, so its tree is taken and written here, with
only the elements and attributes that MathML Core draws. What it cannot read is shown as its source.
"""

import re
from functools import lru_cache
from html import unescape
from xml.etree.ElementTree import Element

from latex2mathml import exceptions as tex
from latex2mathml.converter import Converter

from chat.rendering.escape import escape, names

MAX_CHARS = 4_000
MAX_DEPTH = 40

TAGS = names(
    "math mrow mi mn mo ms mtext mspace mfrac msqrt mroot mstyle mpadded mphantom menclose msub msup"
    " msubsup munder mover munderover mmultiscripts mprescripts mtable mtr mtd"
)
ATTRIBUTES = names(
    "alttext display mathvariant stretchy fence form separator accent accentunder largeop movablelimits minsize"
    " maxsize symmetric lspace rspace linethickness displaystyle scriptlevel width height depth voffset"
    " notation columnalign columnlines columnspacing rowlines rowspacing mathcolor mathbackground"
)
_PLAIN_VALUE = re.compile(r"[\w#.%+ -]{1,60}")
_CHARACTER_REFERENCE = re.compile(r"&#x[0-9A-Fa-f]{1,6};")

# Definitions can be made to double at each step; nothing in an answer needs them.
_DEFINES = re.compile(r"\\(?:(?:re)?newcommand|(?:re)?newenvironment|[gex]?def|let|DeclareMathOperator)(?![a-zA-Z])")
_OPENS_OR_CLOSES = re.compile(r"\\.|[{}]", re.DOTALL)


class Unreadable(Exception):
    """The TeX cannot be shown as a formula."""


def to_html(source: str, *, display: bool) -> str:
    """Return a <math> element, or <code class="math-source"> with the source where it cannot be read."""
    source = source.strip()
    try:
        return _mathml(source, display)
    except Unreadable:
        return f'<code class="math-source">{escape(source)}</code>'


@lru_cache(maxsize=2_048)
def _mathml(source: str, display: bool) -> str:
    _refuse_costly(source)
    converter = Converter(display="block" if display else "inline")
    try:
        written = _written(converter.convert_to_element(source), 0)
    except _FAILURES as error:
        raise Unreadable(str(error)) from error
    # The source goes along: it is what a copy of the answer holds.
    return written.replace("<math", f'<math alttext="{escape(source)}"', 1)


def _refuse_costly(source: str) -> None:
    if not source or len(source) > MAX_CHARS or _DEFINES.search(source):
        raise Unreadable("empty, too long or defines commands")
    depth = 0
    for token in _OPENS_OR_CLOSES.findall(source):
        depth += (token == "{") - (token == "}")
        if depth > MAX_DEPTH:
            raise Unreadable("too deep")


def _written(element: Element, depth: int) -> str:
    if depth > 4 * MAX_DEPTH:
        raise Unreadable("too deep")
    inner = _characters(element.text) + "".join(
        _written(child, depth + 1) + _characters(child.tail) for child in element
    )
    if element.tag not in TAGS:
        return inner
    attributes = "".join(
        f' {name}="{escape(value)}"'
        for name, value in element.attrib.items()
        if name in ATTRIBUTES and _PLAIN_VALUE.fullmatch(str(value))
    )
    return f"<{element.tag}{attributes}>{inner}</{element.tag}>"


def _characters(text: str | None) -> str:
    """Symbols come as character references in plain text; anything else in it is the author's own."""
    return escape(_CHARACTER_REFERENCE.sub(lambda found: unescape(found[0]), text)) if text else ""


# What latex2mathml raises: its own errors, and those of the checks that it lacks. Fuzzing met all but
# AttributeError and KeyError, which the same lines can raise.
_FAILURES = (
    tex.DenominatorNotFoundError,
    tex.DoubleSubscriptsError,
    tex.DoubleSuperscriptsError,
    tex.ExtraLeftOrMissingRightError,
    tex.InvalidAlignmentError,
    tex.InvalidStyleForGenfracError,
    tex.InvalidWidthError,
    tex.LimitsMustFollowMathOperatorError,
    tex.MissingEndError,
    tex.MissingSuperScriptOrSubscriptError,
    tex.NoAvailableTokensError,
    tex.NumeratorNotFoundError,
    AttributeError,
    IndexError,
    KeyError,
    RecursionError,
    StopIteration,
    TypeError,
    ValueError,
)
