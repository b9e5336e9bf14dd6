"""Output that no documentation promises: right words in wrong places, for all that reads stored answers."""

from __future__ import annotations

from hypothesis import strategies as st

_NAMES = [
    "type",
    "content",
    "text",
    "summary",
    "call_id",
    "name",
    "arguments",
    "refusal",
    "id",
    "status",
    "annotations",
]
_TYPES = ["message", "reasoning", "function_call", "mcp_call", "code_interpreter_call", "new_thing"]

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=3),
    max_leaves=8,
)
_part = st.fixed_dictionaries(
    {"type": st.sampled_from(["output_text", "refusal", "summary_text", "reasoning_text"])},
    optional={"text": anything, "refusal": anything},
)
_parts = st.lists(_part | anything, min_size=1, max_size=2) | anything
_item = st.fixed_dictionaries(
    {"type": st.sampled_from(_TYPES)},
    optional={
        "content": _parts,
        "summary": _parts,
        "name": anything,
        "arguments": anything,
        "call_id": anything,
        "id": anything,
    },
)

wild_output = st.lists(_item | anything, max_size=4)
