"""The items of a conversation, checked as a reasoning provider checks them: nothing may be left without its pair.

Calls need their outputs, reasoning the item that it led to, and items that came from reasoning that reasoning.
References and compacted conversations are replaced by what they stand for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from .seal import NotOurs, Seal
from .store import Kept, Store
from .wires import Json, Wire, WireError, bad_value

_FROM_REASONING = ("message", "function_call", "code_interpreter_call", "image_generation_call", "mcp_call")


def settle(
    new: Iterable[Json], earlier: Iterable[Json], wire: Wire, store: Store, seal: Seal
) -> tuple[list[Json], list[Json]]:
    """Return the new items, references replaced, and the whole conversation. Raises WireError."""
    found = [_referred(item, store) for item in new]
    whole = [opened for item in (*earlier, *found) for opened in _opened(item, seal)]
    _check_calls(whole)
    _check_approvals(whole)
    if wire.pairs_reasoning:
        _check_ids(whole)
        _check_seals(found, seal)
        _check_reasoning(found, store)
        _check_origins(found, store)
    return found, whole


def _referred(item: Json, store: Store) -> Json:
    if item["type"] != "item_reference":
        return item
    found = stored_item(str(item["id"]), store)
    if found is None:
        raise unknown_item(str(item["id"]))
    return found


def unknown_item(item_id: str) -> WireError:
    text = f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. "
    return WireError(
        404, text + "Try again with `store` set to true, or remove this item from your input.", param="input"
    )


def stored_item(item_id: str, store: Store) -> Json | None:
    """Find an item among what is kept, the newest responses first."""
    for kept in reversed(list(store.responses.values())):
        for item in (*kept.payload["output"], *kept.new_items):
            if item.get("id") == item_id:
                return dict(item)
    return None


def _opened(item: Json, seal: Seal) -> Iterator[Json]:
    """A compaction becomes what was compacted."""
    if item["type"] == "compaction":
        yield from _read(seal, item)
    else:
        yield item


def _check_seals(items: Iterable[Json], seal: Seal) -> None:
    for item in items:
        if item["type"] == "reasoning" and item.get("encrypted_content") is not None:
            _read(seal, item)


def _read(seal: Seal, item: Json) -> Any:
    sealed = item.get("encrypted_content")
    try:
        return seal.open(sealed if isinstance(sealed, str) else "")
    except NotOurs as error:
        text = f"The encrypted content for item {item['id']} could not be verified. Reason: Encrypted content could not be decrypted or parsed."
        raise bad_value("input", text, "invalid_encrypted_content") from error


def _check_ids(items: Iterable[Json]) -> None:
    seen: set[str] = set()
    for item in items:
        if item["id"] in seen:
            text = f"Duplicate item found with id {item['id']}. Remove duplicate items from your input and try again."
            raise bad_value("input", text)
        seen.add(item["id"])


def _check_calls(items: Iterable[Json]) -> None:
    """Every call has its output and every output its call, or a model could not go on."""
    open_calls: dict[str, None] = {}
    seen: set[str] = set()
    for item in items:
        if item["type"] == "function_call":
            open_calls[item["call_id"]] = None
            seen.add(item["call_id"])
        elif item["type"] == "function_call_output":
            if item["call_id"] not in seen:
                text = f"No tool call found for function call output with call_id {item['call_id']}."
                raise bad_value("input", text)
            open_calls.pop(item["call_id"], None)
    if open_calls:
        raise bad_value("input", f"No tool output found for function call {next(iter(open_calls))}.")


def _check_approvals(items: Iterable[Json]) -> None:
    asked: set[str] = set()
    answered: set[str] = set()
    for item in items:
        if item["type"] == "mcp_approval_request":
            asked.add(str(item["id"]))
        elif item["type"] == "mcp_approval_response":
            request_id = item["approval_request_id"]
            if request_id not in asked:
                raise bad_value("input", f"No approval request found for approval response with id '{request_id}'.")
            if request_id in answered:
                raise bad_value("input", f"The approval request '{request_id}' has been answered before.")
            answered.add(request_id)


def _check_reasoning(items: list[Json], store: Store) -> None:
    for item, following in pairwise([*items, None]):
        if item is None or item["type"] != "reasoning":
            continue
        if following is None or not _is_led_to(following):
            text = f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
            raise bad_value("input", text)
        is_whole = item.get("encrypted_content") is not None or item.get("content")
        if not is_whole and stored_item(item["id"], store) is None:
            raise unknown_item(item["id"])


def _is_led_to(item: Json) -> bool:
    """Whether reasoning can have led to the item: another thought, an answer, a call."""
    is_answer = item["type"] in _FROM_REASONING and item.get("role", "assistant") == "assistant"
    return is_answer or item["type"] in ("reasoning", "mcp_list_tools", "mcp_approval_request")


def _check_origins(items: list[Json], store: Store) -> None:
    """An item that came from reasoning, known by its id, is only taken together with it."""
    given = {item["id"]: item["type"] for item in items}
    wanted = {item_id for item_id, kind in given.items() if kind in _FROM_REASONING}
    for kept in list(store.responses.values()) if wanted else ():
        for item_id, origin in _origins(kept.payload["output"]):
            if item_id in wanted and origin not in given:
                text = f"Item '{item_id}' of type '{given[item_id]}' was provided without its required 'reasoning' item: '{origin}'."
                raise bad_value("input", text)


def _origins(output: Iterable[Json]) -> Iterator[tuple[str, str]]:
    """Which reasoning each item of an answer came from, by their ids."""
    reasoning: str | None = None
    for item in output:
        if item["type"] == "reasoning":
            reasoning = item["id"]
        elif reasoning is not None and item["type"] in _FROM_REASONING:
            yield item["id"], reasoning
            reasoning = None


def all_items(kept: Kept) -> Iterator[Json]:
    yield from kept.new_items
    yield from kept.payload["output"]
