"""The protocol's checklist: each thing that the product's source documents show, and the tests that show it here.

A test names its rows with `@pytest.mark.seed("S1-9")`. `python -m tests.checklist` writes the tables of
`chat/responses/README.md` anew; a test fails while they are not what the code says.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from chat.responses.dialects import CAPABILITY_WORDS, DIALECTS, in_words

ROOT = Path(__file__).parent.parent
README = ROOT / "chat/responses/README.md"

SOURCES = {"S0": "Azure OpenAI", "S1": "Azure OpenAI, the long version", "S2": "OfoxAI", "S3": "Microsoft Foundry"}
ROWS = {
    "S0-1": "the v1 API: base address, no dated version",
    "S0-2": "regions",
    "S0-3": "models",
    "S0-4": "limits: web search, image editing over turns and streaming, images by file id, user_data, background",
    "S0-5": "text generation with an API key",
    "S0-6": "Entra ID by a token provider",
    "S0-7": "REST with `api-key`",
    "S0-8": "REST with Bearer",
    "S0-9": "the response: `output_text`, usage",
    "S0-10": "retrieve a response",
    "S0-11": "delete a response; kept 30 days",
    "S0-12": "several turns by `previous_response_id`",
    "S0-13": "several turns by a history of one's own",
    "S0-14": "keys kept out of code",
    "S0-15": "computer use is mentioned",
    "S1-1": "regions",
    "S1-2": "models and their versions",
    "S1-3": "limits, compact among them",
    "S1-4": "create a response",
    "S1-5": "retrieve a response",
    "S1-6": "delete a response",
    "S1-7": "chain responses",
    "S1-8": "chain by hand",
    "S1-9": "stream deltas",
    "S1-10": "function calls and their outputs",
    "S1-11": "code interpreter",
    "S1-12": "containers: auto, file_ids; 1 h, 20 min idle",
    "S1-13": "files that the code made are cited; files of the input are uploaded",
    "S1-14": "the table of file types",
    "S1-15": "list input items",
    "S1-16": "an image by its address",
    "S1-17": "an image as base64",
    "S1-18": "a PDF as base64",
    "S1-19": "a PDF uploaded, then by file_id",
    "S1-20": "what a PDF costs: text and pictures of its pages enter the context",
    "S1-21": "remote MCP",
    "S1-22": "approvals",
    "S1-23": "MCP headers and authorisation",
    "S1-24": "create in the background",
    "S1-25": "poll",
    "S1-26": "cancel, more than once",
    "S1-27": "background stream with a cursor",
    "S1-28": "resume by starting_after",
    "S1-29": "limits of background work",
    "S1-30": "encrypted reasoning",
    "S1-31": "image generation and its deployment header",
    "S1-32": "reasoning models",
    "S1-33": "computer use",
    "S2-1": "POST /v1/responses with Bearer",
    "S2-2": "the table of parameters",
    "S2-3": "input as a string",
    "S2-4": "input as items; assistant messages with id and status",
    "S2-5": "stateless: the whole history",
    "S2-6": "instructions as a prefix that can be cached",
    "S2-7": "image input",
    "S2-8": "the fields and statuses of the response",
    "S2-9": "data-only frames and [DONE]",
    "S2-10": "eight types of events",
    "S2-11": "the function_call item",
    "S2-12": "a tool's result with the whole chain of the call",
    "S2-13": "tool_choice",
    "S2-14": "compared with Chat Completions",
    "S3-1": "an OpenAI-compatible client to Foundry",
    "S3-2": "create: text, id, status, usage, model",
    "S3-3": "instructions",
    "S3-4": "temperature, max_output_tokens, top_p",
    "S3-5": "models sold directly (Phi, DeepSeek)",
    "S3-6": "several turns, instructions repeated",
    "S3-7": "a loop with the last id",
    "S3-8": "a history of one's own: pruned, saved, restored",
    "S3-9": "retrieve an earlier response",
    "S3-10": "what the context is made of, and how it grows",
    "S3-11": "streaming",
    "S3-12": "the id from response.completed",
    "S3-13": "async",
    "S3-14": "async streaming",
    "S3-15": "errors",
}
# Rows that say something which is not this product's to do, each with the reason.
NOT_OURS = {
    "S0-2": "The address names the resource, and with it the region; the provider refuses what a region lacks.",
    "S0-3": "Model names are the operator's; none is built in.",
    "S0-15": "An advertisement.",
    "S1-1": "As S0-2.",
    "S1-2": "As S0-3.",
    "S2-14": "Chat Completions is another protocol.",
}


def tests_by_row() -> dict[str, list[str]]:
    """For each row the tests that carry its mark, as `path::name`."""
    found: dict[str, list[str]] = {row: [] for row in ROWS}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, row in _marks(ast.parse(path.read_text("utf-8"))):
            if row not in found:
                raise KeyError(f"{path.name}: there is no row {row}")
            found[row].append(f"{path.relative_to(ROOT / 'tests').as_posix()}::{name}")
    return found


def _marks(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each test function with each of its rows, those of its module and class included."""

    def walk(body: list[ast.stmt], inherited: list[str]) -> Iterator[tuple[str, str]]:
        inherited = inherited + [
            row
            for node in body
            if isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets)
            for row in _rows_in(node.value)
        ]
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield from walk(node.body, inherited + [row for d in node.decorator_list for row in _rows_in(d)])
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                rows = inherited + [row for d in node.decorator_list for row in _rows_in(d)]
                for row in dict.fromkeys(rows):
                    yield node.name, row

    yield from walk(tree.body, [])


def _rows_in(node: ast.expr) -> Iterator[str]:
    """The rows of `pytest.mark.seed(...)`, also inside a list of marks or a parameter's marks."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "seed":
            for argument in call.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


# The tables


def sides(tests: list[str]) -> list[str]:
    """Who these tests show to do it: the chat itself, its client, the engine as a server for a foreign client."""
    folders = {path.partition("/")[0] for path in tests}
    engine = {"conformance", "offline"}
    found = {
        "chat": bool(folders - engine - {"responses"}),
        "client": "responses" in folders,
        "engine": bool(folders & engine),
    }
    return [side for side, is_shown in found.items() if is_shown]


def checklist_table() -> str:
    shown = tests_by_row()
    lines = ["| row | what | status | tests |", "|---|---|---|---|"]
    for row, what in ROWS.items():
        names = [f"`{name.rpartition('::')[2].removeprefix('test_')}`" for name in shown[row]]
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        status = "not ours" if row in NOT_OURS else ", ".join(sides(shown[row])) or "**open**"
        told = NOT_OURS.get(row) or ", ".join(names[:2]) + more
        lines.append(f"| {row} | {what} | {status} | {told} |")
    return "\n".join(lines)


def dialect_table() -> str:
    names = [name for name in DIALECTS if name != "offline"]
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for group, words in CAPABILITY_WORDS.items():
        if group in ("Address and credentials", "Wire"):
            continue
        for field, word in words.items():
            values = [getattr(DIALECTS[name], field) for name in names]
            if len(set(values)) > 1:
                lines.append(f"| {word} | {' | '.join(_cell(value) for value in values)} |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return {True: "✓", False: "–"}[value] if isinstance(value, bool) else in_words(value)


def written(text: str) -> str:
    """The README with its tables as they should be."""
    for name, table in (("dialects", dialect_table()), ("checklist", checklist_table())):
        head, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, tail = rest.partition(f"<!-- end of {name} -->")
        if not begin or not end:
            raise ValueError(f"the README has no place for the table {name!r}")
        text = f"{head}{begin}\n{table}\n\n{end}{tail}"
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
    missing = [row for row, names in tests_by_row().items() if not names and row not in NOT_OURS]
    sys.stdout.write(f"{len(ROWS) - len(missing)} of {len(ROWS)} rows; open: {', '.join(missing) or 'none'}\n")
