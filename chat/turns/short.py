"""The short way between the socket of a tab and our own server: frames and their acknowledgements, and nothing else.

Many times a second a page gets a frame and says that it has it; as messages of ASGI each of the two goes through a queue
and tasks. A server that has a `ShortWay` puts it into the extensions of the scope. With any other the same goes by messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

NAME = "chat.short_way"  # among the extensions of the scope


class ShortWay(Protocol):
    """One socket."""

    heard: Callable[[bytes], bool] | None
    """Gets each short text of the page first. What it returns False for comes as a message, like all else."""

    def send_text(self, text: str) -> None:
        """Put a message of text on the socket. Raises RuntimeError when it is closed."""
