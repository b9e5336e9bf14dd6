"""Rare events between tabs and processes, over the channel layer. Never text of answers.

A layer may drop a message silently, so each is only a hint to look at the database again.
"""

from __future__ import annotations

from typing import Any

from channels.layers import get_channel_layer


def person_group(user_id: Any) -> str:
    return f"person.{user_id}"


async def titled(user_id: Any, conversation_id: Any) -> None:
    """A conversation got another title."""
    await _send(user_id, {"type": "conversation.titled", "conversation": str(conversation_id)})


async def turn_added(user_id: Any, conversation_id: Any, turn_pk: int, tab: str) -> None:
    """A turn was asked in the tab `tab`; the person's other tabs may show the same conversation."""
    await _send(
        user_id,
        {"type": "turn.added", "conversation": str(conversation_id), "turn": turn_pk, "tab": tab},
    )


async def turn_changed(user_id: Any, conversation_id: Any, turn_pk: int, tab: str) -> None:
    """An answer that was over goes on, at the wish of the tab `tab`."""
    await _send(
        user_id,
        {"type": "turn.changed", "conversation": str(conversation_id), "turn": turn_pk, "tab": tab},
    )


async def list_changed(user_id: Any, tab: str) -> None:
    """A conversation came or went; the sidebars of the person's other tabs are out of date."""
    await _send(user_id, {"type": "list.changed", "tab": tab})


async def signed_out(user_id: Any) -> None:
    await _send(user_id, {"type": "person.signed_out"})


async def _send(user_id: Any, message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    if layer is not None:
        await layer.group_send(person_group(user_id), message)
