"""The tools of the engine. What it shows as code is run here, by Python, and has to print and write the same."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from chat.offline import arithmetic, equations, mcp_server
from chat.offline.charts import chart, drawable
from chat.offline.containers import IDLE_MINUTES, Containers
from chat.offline.recipes import charted_numbers
from chat.offline.seal import NotOurs, Seal
from chat.offline.store import Store
from chat.offline.wires import WireError

from .conftest import Ask, Engine, Json, inline_file, text_of

MakeEngine = Callable[..., Awaitable[Engine]]
INTERPRETER = {"type": "code_interpreter", "container": {"type": "auto"}}


def run_by_python(code: str, folder: Path) -> str:
    """What the code really prints, with `folder` in the place of the container's."""
    code = code.replace("/mnt/data", str(folder))
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env=environment,
        timeout=60,
    ).stdout


def calls_of(response: Json) -> list[Json]:
    return [item for item in response["output"] if item["type"] == "code_interpreter_call"]


async def interpreted(ask: Ask, question: str, *parts: Json, **more: Any) -> Json:
    return await ask(question, *parts, tools=[INTERPRETER], include=["code_interpreter_call.outputs"], **more)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("I need to solve the equation 3x + 11 = 14. Can you help me?", "x = 1"),
        ("Solve 2(y - 3) / 4 = 0.5y + y", "y = -3/2"),
        ("what is z in z^2 = 2z + 8?", "z = -2.0**, **z = 4.0"),
        ("x² + 1 = 0", "no real number"),
        ("Could you work out 12.5 * (3 + 4) for me?", "87.5"),
        ("7 / 2", "3.5"),
    ],
)
async def test_code_prints_what_the_engine_says_that_it_prints(
    ask: Ask, tmp_path: Path, question: str, said: str
) -> None:
    response = await interpreted(ask, question)
    (call,) = calls_of(response)
    assert [output["logs"] for output in call["outputs"]] == [run_by_python(call["code"], tmp_path)]
    assert said in text_of(response)
    assert "no code was run" in text_of(response)


TABLE = 'month,"units, sold",price €,note\nJänner,10,1.5,a\nFebruary,12,,\nMarch,9,2.25,"b, ""c"""\n'


async def test_a_table_is_read_as_the_code_reads_it(engine: Engine, ask: Ask, tmp_path: Path) -> None:
    response = await interpreted(
        ask, "Chart the units of this table", inline_file("a b'c.csv", TABLE.encode(), "text/csv")
    )
    summing, drawing = calls_of(response)
    container = engine.app.bench.containers.get(summing["container_id"])
    written = {file.name: file for file in container.files.values()}
    assert set(written) == {"a b_c.csv", "summary.csv", "chart.png"}
    (tmp_path / "a b_c.csv").write_bytes(written["a b_c.csv"].blob.path.read_bytes())
    assert summing["outputs"] == [{"type": "logs", "logs": run_by_python(summing["code"], tmp_path)}]
    assert (tmp_path / "summary.csv").read_bytes() == written["summary.csv"].blob.path.read_bytes()
    assert "'units, sold'" in drawing["code"]
    compile(drawing["code"], "chart.py", "exec")
    with Image.open(written["chart.png"].blob.path) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b"a,b\n"),
        ("binary.csv", bytes(range(256)) * 10),
        ("one line.csv", b"nothing"),
        ("words.csv", b"who,what\nAda,engine\n"),
        ("ragged.csv", b"a,b\n1\n2,3,4\n"),
        ("semicolons.csv", b"a;b\n1;2\n"),
        ("tabs.tsv", b"a\tb\n1\t2\n"),
        ("huge field.csv", b"a,b\n1," + b"x" * 200_000 + b"\n"),
        ("special.csv", b"a,b\nnan,1\ninf,2\n"),
        ("twice.csv", b"a,a\n1,2\n"),
        ("huge numbers.csv", b"a,b\nx,1e308\ny,1e308\n"),
        ("huge distance.csv", b"a,b\nx,1e308\ny,-1e308\n"),
    ],
)
async def test_any_table_is_answered(ask: Ask, tmp_path: Path, name: str, content: bytes) -> None:
    response = await interpreted(ask, "analyse this table", inline_file(name, content, "text/csv"))
    assert response["status"] == "completed"
    (tmp_path / name).write_bytes(content)
    for call in calls_of(response):
        if "matplotlib" not in call["code"]:
            assert call["outputs"][0]["logs"] == run_by_python(call["code"], tmp_path)


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("Make a bar chart of 3, 5, 9", [("1", 3), ("2", 5), ("3", 9)]),
        ("plot apples 3, pears: 5.5 and plums = -9", [("apples", 3), ("pears", 5.5), ("plums", -9)]),
        ("Zeichne ein Diagramm von 1 und 2", [("1", 1), ("2", 2)]),
        ("画一个图表：1、2、3", [("1", 1), ("2", 2), ("3", 3)]),
        ("a chart of one number, 7", []),
        ("What is 3 + 5?", []),
    ],
)
def test_the_numbers_of_a_chart_stand_in_the_question(question: str, numbers: list[tuple[str, float]]) -> None:
    assert charted_numbers(question) == numbers


async def test_a_chart_of_numbers_is_drawn_and_its_data_lie_beside_it(engine: Engine, ask: Ask) -> None:
    response = await interpreted(ask, "Make a bar chart of 3, 5, 9")
    (call,) = calls_of(response)
    compile(call["code"], "code", "exec")
    citations = response["output"][-1]["content"][0]["annotations"]
    assert [citation["filename"] for citation in citations] == ["chart.png", "data.csv"]
    text = text_of(response)
    for citation in citations:
        assert text[citation["start_index"] : citation["end_index"]] == f"sandbox:/mnt/data/{citation['filename']}"


async def test_a_demanded_call_says_what_lies_there(ask: Ask, tmp_path: Path) -> None:
    note = inline_file("note.txt", b"hello", "text/plain")
    response = await interpreted(ask, "tell me a joke", note, tool_choice={"type": "code_interpreter"})
    (call,) = calls_of(response)
    (tmp_path / "note.txt").write_text("hello")
    assert call["outputs"][0]["logs"] == run_by_python(call["code"], tmp_path) == "['note.txt']\n"


async def test_a_date_and_a_range_are_no_sums(ask: Ask) -> None:
    for question in ("What happened on 2024-05-06?", "see pages 3-4 of chapter 2", "call 555-0100"):
        assert arithmetic.embedded(question) is None or "=" not in text_of(await ask(question))


@given(st.integers(-99, 99), st.integers(-99, 99), st.integers(-99, 99), st.integers(-99, 99))
def test_a_linear_equation_is_solved_exactly(a: int, b: int, c: int, d: int) -> None:
    assume(a != c)
    found = equations.find(f"please solve {a}x + {b} = {c}*x - {d} now")
    assert found
    constant, factor, square = found.terms
    assert square == 0
    x = -constant / factor
    assert a * x + b == c * x - d


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["3", "x", "=", "+", "(", ")", "^", "2", " ", "/", "0", "y", "."]), max_size=14).map(
        "".join
    )
)
def test_any_text_is_looked_through_for_equations(text: str) -> None:
    found = equations.find(text)
    if found:
        found.solutions()


# Containers


HUGE = "(((((((((99999999999999^2)^2)^2)^2)^2)^2)^2)^2)^2)"


@pytest.mark.parametrize(
    "question",
    [f"{HUGE}*x=1", f"{HUGE}*x^2=1", "9^314*" * 28 + "1"],
    ids=["linear", "squared", "product"],
)
async def test_a_sum_too_long_to_write_is_answered_all_the_same(ask: Ask, question: str) -> None:
    response = await ask(question, tools=[INTERPRETER])
    assert response["status"] == "completed"
    assert not calls_of(response)


async def test_a_wide_heading_over_many_short_rows_is_no_table(ask: Ask) -> None:
    """Each row would be filled up to the width of the heading: 30 KB would take 10,000,000 cells."""
    heading = ",".join(f"c{number}" for number in range(3_000))
    data = (heading + "\n" + "1\n" * 3_500).encode()
    response = await interpreted(ask, "Analyse this data", inline_file("wide.csv", data, "text/csv"))
    assert response["status"] == "completed"
    assert "summary.csv" not in text_of(response)


def test_a_container_that_nobody_uses_expires_with_its_files() -> None:
    now = [1_000_000.0]
    store = Store()
    containers = Containers(store, clock=lambda: now[0])
    container = containers.create("mine")
    file = containers.write(container, b"data", "a.txt", "text/plain")
    now[0] += IDLE_MINUTES * 60 - 1
    containers.use(container.id)
    now[0] += IDLE_MINUTES * 60 - 1
    assert containers.file(container.id, file.id) == file
    assert containers.payload(container)["status"] == "running"
    now[0] += 1
    assert containers.payload(containers.get(container.id))["status"] == "expired"
    with pytest.raises(WireError, match="Container file"):
        containers.file(container.id, file.id)
    with pytest.raises(WireError, match=r"Container is expired\."):
        containers.use(container.id)
    assert not containers.is_alive(container.id)


def test_names_stay_inside_the_container() -> None:
    containers = Containers(Store())
    container = containers.create("mine")
    blob = containers.write(container, b"data", "a.txt", "text/plain").blob
    paths = [
        containers.put(container, blob, name, "user").path
        for name in ("../../etc/passwd", "C:\\temp\\b.csv", "..", "", "a/b/ü c.csv", "x\n](y).csv")
    ]
    assert paths == [
        "/mnt/data/passwd",
        "/mnt/data/b.csv",
        "/mnt/data/file",
        "/mnt/data/file",
        "/mnt/data/ü c.csv",
        "/mnt/data/x__(y).csv",
    ]


async def test_an_expired_container_cannot_be_asked_for(engine: Engine, ask: Ask) -> None:
    made = (await engine.http.post("containers", json={"name": "mine"})).json()
    engine.app.bench.containers.get(made["id"]).last_active_at -= IDLE_MINUTES * 60
    tool = {"type": "code_interpreter", "container": made["id"]}
    reply = await engine.http.post("responses", json={"model": "any", "input": "3 + 4", "tools": [tool]})
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "Container is expired.")
    again = await interpreted(ask, "3 + 4")
    assert calls_of(again)[0]["container_id"] != made["id"]


async def test_a_file_that_has_expired_is_gone_everywhere(engine: Engine) -> None:
    form = {"purpose": "assistants", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    upload = await engine.http.post("files", data=form, files={"file": ("a.csv", b"a,b\n1,2\n")})
    file_id = upload.json()["id"]
    tool = {"type": "code_interpreter", "container": {"type": "auto", "file_ids": [file_id]}}
    ask = {"model": "any", "input": "analyse the data", "tools": [tool]}
    assert (await engine.http.post("responses", json=ask)).status_code == 200
    stored = engine.app.store.files[file_id]
    assert stored.expires_at
    stored.expires_at -= 3600
    assert (await engine.http.get("files")).json()["data"] == []
    assert (await engine.http.get(f"files/{file_id}")).status_code == 404
    assert (await engine.http.post("responses", json=ask)).status_code == 404
    assert (await engine.http.post("containers", json={"name": "a", "file_ids": [file_id]})).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a", "expires_after": {"anchor": "last_active_at", "minutes": 21}},
        {"name": "a", "expires_after": {"minutes": True}},
        {"name": "a", "memory_limit": "2g"},
        {"name": "a", "file_ids": "file-1"},
        {"name": "a", "file_ids": ["file-unknown"]},
    ],
    ids=str,
)
async def test_a_wrong_container_is_refused_and_not_made(engine: Engine, body: Json) -> None:
    assert (await engine.http.post("containers", json=body)).status_code == 400
    assert (await engine.http.get("containers")).json()["data"] == []


# Pictures


@pytest.mark.parametrize("values", [[0.0], [-3.0, -1.0], [1e300, 1.0], [1e-300] * 3, [5.0] * 600, [-2.0, 3.0]])
@pytest.mark.parametrize("kind", ["bar", "line"])
def test_any_numbers_make_a_chart(kind: str, values: list[float]) -> None:
    labels = [f"Grüße {number} 漢字" for number in range(len(values))]
    with Image.open(io.BytesIO(chart(kind, "Titel – 図", labels, values))) as image:
        image.load()
        assert image.size == (960, 540)


def test_what_the_font_cannot_write_is_left_out() -> None:
    assert drawable("Crème brûlée\n漢字 ok \x07") == "Creme brulee ok"


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
async def test_a_card_is_drawn_in_the_format_that_is_asked_for(ask: Ask, kind: str) -> None:
    tool = {"type": "image_generation", "output_format": kind, "background": "transparent", "size": "1024x1536"}
    response = await ask("請畫一隻貓", tools=[tool])
    call = response["output"][0]
    assert call["type"] == "image_generation_call"
    assert call["background"] == ("opaque" if kind == "jpeg" else "transparent")
    with Image.open(io.BytesIO(base64.b64decode(call["result"]))) as image:
        assert (image.format, image.size) == (kind.upper(), (1024, 1536))
        assert (image.mode == "RGBA") == (kind != "jpeg")
    assert "未連接任何影像模型" in text_of(response)


# Remote tools


def test_dice_show_what_dice_can() -> None:
    rolled = json.loads(mcp_server.run("roll_dice", {"count": 20, "sides": 2}))["rolled"]
    assert len(rolled) == 20
    assert set(rolled) <= {1, 2}
    assert "+05:00" in json.loads(mcp_server.run("read_clock", {"utc_offset_hours": 5}))["now"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("roll_dice", {"count": 0}), ("roll_dice", {"sides": "six"}), ("roll_dice", []), ("read_mind", {})],
)
def test_a_tool_says_what_it_cannot_do(name: str, arguments: Any) -> None:
    with pytest.raises(mcp_server.ToolFailed):
        mcp_server.run(name, arguments)


async def test_a_tool_that_fails_is_told_as_failed(engine: Engine, ask: Ask) -> None:
    tools = [{"type": "mcp", "server_label": "engine", "server_url": "http://engine/mcp"}]
    asked = [
        {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": label, "name": "roll_dice", "arguments": given}
        for label, given in (("engine", '{"count": 99}'), ("engine", "no json"), ("elsewhere", "{}"))
    ]
    for request in asked:
        approval = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
        response = await engine.client.create({"model": "any", "input": [request, approval], "tools": tools})
        call = next(item for item in response["output"] if item["type"] == "mcp_call")
        assert (call["status"], call["output"]) == ("failed", None)
        assert call["error"]["type"] == "mcp_tool_execution_error"


async def test_the_engine_is_a_tool_server_itself(engine: Engine) -> None:
    async def ask(method: str, **message: Any) -> Json:
        reply = await engine.http.post("http://engine/mcp", json={"jsonrpc": "2.0", "method": method, **message})
        found: Json = reply.json()
        assert found["id"] == message["id"]
        return found

    hello = await ask("initialize", id=1, params={"protocolVersion": "2025-03-26", "capabilities": {}})
    assert hello["result"]["protocolVersion"] == "2025-03-26"
    noted = await engine.http.post("http://engine/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (noted.status_code, noted.content) == (202, b"")
    tools = (await ask("tools/list", id="two"))["result"]["tools"]
    assert [tool["name"] for tool in tools] == ["roll_dice", "read_clock"]
    assert all(tool["inputSchema"]["type"] == "object" for tool in tools)
    rolled = (await ask("tools/call", id=3, params={"name": "roll_dice", "arguments": {"count": 2}}))["result"]
    assert not rolled["isError"]
    assert len(json.loads(rolled["content"][0]["text"])["rolled"]) == 2
    assert (await ask("tools/call", id=4, params={"name": "read_mind"}))["result"]["isError"]
    assert (await ask("tools/call", id=5))["error"]["code"] == -32602
    assert (await ask("resources/list", id=6))["error"]["code"] == -32601
    for odd in (b"no json", b"[]", b"{}"):
        assert "error" in (await engine.http.post("http://engine/mcp", content=odd)).json()
    assert (await engine.http.get("http://engine/mcp")).status_code == 405


# What is sealed


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_what_was_sealed_is_read_again(value: Any) -> None:
    seal = Seal()
    assert seal.open(seal.close(value)) == value


def test_what_was_changed_or_sealed_elsewhere_is_refused() -> None:
    seal, other = Seal(), Seal()
    sealed = seal.close({"thoughts": ["a thought that nobody else shall read"]})
    assert b"nobody else" not in base64.urlsafe_b64decode(sealed)
    for foreign in (other.close("x"), sealed[:-8], sealed[4:], "", "é", "not base64!", sealed.swapcase()):
        with pytest.raises(NotOurs):
            seal.open(foreign)
