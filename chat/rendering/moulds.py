"""Fragments that differ in a few values alone: their template is rendered once, with stand-ins, and then filled.

A stand-in may be what a template shows as it is, or asks only whether there is any. All else that it is given is part
of what a mould is kept by, so that another deployment or setting makes another mould.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Hashable, Mapping
from functools import lru_cache

from django.template.loader import render_to_string
from django.urls import get_script_prefix
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString

MOULDS_KEPT = 128

# Nobody can write a name that looks like one; and escaping leaves it as it is.
_MARK = secrets.token_hex(16)
_STAND_IN = re.compile(rf"{_MARK}_([a-z]+)_")


def stand_in(name: str) -> SafeString:
    """What stands where a value goes. `name` has small letters only."""
    return SafeString(f"{_MARK}_{name}_")


def filled(template: str, values: Mapping[str, object], **context: Hashable) -> SafeString:
    """The template with these values, escaped unless they are safe, where `context` has their stand-ins.

    It sees no request. A string and a SafeString are kept as the same: what is in both kinds has to be a value.
    """
    return _mould(template, get_script_prefix(), tuple(context.items())).filled(values)


class Mould:
    def __init__(self, html: str) -> None:
        # Splitting by a pattern with a group gives text, name, text, name, …, text.
        self._pieces = _STAND_IN.split(html)
        self._places = [(place, self._pieces[place]) for place in range(1, len(self._pieces), 2)]

    def filled(self, values: Mapping[str, object]) -> SafeString:
        escaped = {name: conditional_escape(str(value)) for name, value in values.items()}
        pieces = self._pieces.copy()
        for place, name in self._places:
            pieces[place] = escaped[name]
        return SafeString("".join(pieces))


@lru_cache(MOULDS_KEPT)
def _mould(template: str, script_prefix: str, context: tuple[tuple[str, Hashable], ...]) -> Mould:
    """`script_prefix`, where the site is mounted, is in each address that a template looks up."""
    return Mould(render_to_string(template, dict(context)))
