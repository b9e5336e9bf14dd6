"""The groups of figures, in the order in which they are measured. A new group is a module and a line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import paced
from .figures import Figure

GROUPS: dict[str, Callable[[], Sequence[Figure]]] = {
    "paced": paced.measure,  # the CPU of a hundred answers that stream in
}
