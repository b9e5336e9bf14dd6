"""The code interpreter tool: a few fixed recipes, worked out here, with Python beside them that does the same.

No code is ever run. A question with a sum or an equation, or about a table that lies at hand, gets a
code_interpreter_call with that code and what it would print; files that it would write are really written,
into the container, and cited in the text.
"""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from . import arithmetic, charts, equations
from .bench import Bench
from .containers import FOLDER, Container, ContainerFile
from .language import language_of
from .phrases import phrase
from .pieces import Piece, Speech, Stage
from .store import Blob, new_id
from .talk import Talk
from .wires import Json, WireError

ABOUT_DATA = re.compile(
    r"analy[sz]|\bsummar|\bchart|\bplot|\bgraph|\bdiagram|\bvisuali[sz]e|\bstatistic|\baverage|\bmean\b|\btotal|\btable\b|\bcsv\b|\bdata\b|\bcolumns?\b"
    r"|auswert|diagramm|tabelle|durchschnitt|mittelwert|daten\b|statistik|graphique|tableau|moyenne|données|gráfic|tabla|promedio|datos"
    r"|图表|圖表|数据|數據|表格|平均|统计|統計|分析|グラフ|データ|平均|集計|차트|그래프|데이터|평균|통계|분석",
    re.IGNORECASE,
)
_LINES = re.compile(
    r"\bline|trend|over time|verlauf|linie|courbe|línea|折线|折線|趋势|趨勢|推移|折れ線|추이|꺾은선", re.IGNORECASE
)
MAX_TABLE_BYTES = 4 * 1024 * 1024
MAX_CELLS = 1_000_000  # short rows are filled up to the width of the heading: a small file could take all memory
MAX_COLUMNS = 12
MAX_NUMBER = 1e150  # sums and distances of larger ones leave what a float can hold


@dataclass(frozen=True)
class Code:
    """One code_interpreter_call."""

    container_id: str
    code: str
    logs: str
    shows_outputs: bool

    @property
    def written(self) -> str:
        return self.code

    def cut(self, characters: int) -> None:
        return None

    def tell(self, stage: Stage) -> Iterator[Json]:
        item: Json = {
            "id": new_id("ci_"),
            "type": "code_interpreter_call",
            "status": "in_progress",
            "container_id": self.container_id,
            "code": "",
            "outputs": None,
        }
        yield stage.added(item)
        yield stage.event("code_interpreter_call.in_progress", item)
        yield from stage.deltas("code_interpreter_call_code.delta", item, self.code)
        yield stage.event("code_interpreter_call_code.done", item, code=self.code)
        yield stage.event("code_interpreter_call.interpreting", item)
        yield stage.event("code_interpreter_call.completed", item)
        outputs = [{"type": "logs", "logs": self.logs}] if self.shows_outputs else None
        yield stage.done({**item, "status": "completed", "code": self.code, "outputs": outputs})


@dataclass(frozen=True)
class Worked:
    """What a recipe did: the calls, what to say, and the files to cite."""

    runs: Sequence[tuple[str, str]]
    """Code and what it prints."""
    text: str
    files: Sequence[ContainerFile] = ()


def work(talk: Talk, tool: Json, body: Json, bench: Bench, *, is_forced: bool) -> list[Piece] | None:
    """The calls and the answer for a question that a recipe fits; None when none does."""
    language = language_of(
        re.sub(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", "", talk.question)
    )  # an unknown y makes no French
    given = list(_files_at_hand(talk, tool, bench))
    wants_table = ABOUT_DATA.search(talk.question) or any(_is_table(file.name) for file in talk.current.files)
    has_table = wants_table and any(_is_table(name) for name, _ in given)
    numbers = [] if has_table else charted_numbers(talk.question)
    worked = None if numbers else _solved(talk.question, language) or _summed(talk.question)
    if not (worked or has_table or numbers or is_forced):
        return None
    container = _container(talk, tool, bench)
    for name, blob in given:
        known = container.named(name)
        if known is None or known.blob.sha256 != blob.sha256:
            bench.containers.put(container, blob, name, "user")
    if numbers:
        worked = _charted(talk.question, language, numbers, container, bench)
    if worked is None and has_table:
        worked = _tabulated(talk.question, language, container, bench)
    if worked is None:
        worked = _listed(container, language)
    shows = "code_interpreter_call.outputs" in (body.get("include") or ())
    calls = [Code(container.id, code, logs, shows) for code, logs in worked.runs]
    return [*calls, _cited(worked, language)]


def _container(talk: Talk, tool: Json, bench: Bench) -> Container:
    """The container that is named, or that of an earlier call while it lives; a new one otherwise."""
    wanted = tool["container"]
    known = wanted if isinstance(wanted, str) else talk.container_id
    if known is not None and bench.containers.is_alive(known):
        return bench.containers.use(known)
    memory = wanted.get("memory_limit") if isinstance(wanted, dict) else None
    return bench.containers.create("auto", memory_limit=memory or "1g")


def _files_at_hand(talk: Talk, tool: Json, bench: Bench) -> Iterator[tuple[str, Blob]]:
    """Everything attached so far, the files that the tool names, and those of the container in use."""
    for said in talk.said:
        for number, file in enumerate(said.files, start=1):
            if file.blob is not None and file.blob.path.exists():
                kind = file.blob.media_type.rpartition("/")[2]
                yield f"image{number}.{kind}" if file.name == "image" else file.name, file.blob
    container = tool["container"]
    for file_id in (container.get("file_ids") or ()) if isinstance(container, dict) else ():
        stored = bench.store.file(file_id)
        if stored is not None:
            yield stored.filename, stored.blob
    known = container if isinstance(container, str) else talk.container_id
    if known is not None and bench.containers.is_alive(known):
        for laid in list(bench.containers.use(known).files.values()):
            if laid.source == "user":
                yield laid.name, laid.blob


def _is_table(name: str) -> bool:
    return name.lower().endswith((".csv", ".tsv"))


def _cited(worked: Worked, language: str) -> Speech:
    """The text with a link to each file, and the annotations that tell where it lies."""
    links = "\n".join(f"- [{file.name}](sandbox:{file.path})" for file in worked.files)
    closing = f"*{phrase('closing_code', language)}*"
    text = "\n\n".join(filter(None, (worked.text, links, closing)))
    return Speech(text, tuple(_citation(text, file) for file in worked.files))


def _citation(text: str, file: ContainerFile) -> Json:
    link = f"sandbox:{file.path}"
    start = text.index(f"({link})") + 1
    return {
        "type": "container_file_citation",
        "container_id": file.container_id,
        "file_id": file.id,
        "filename": file.name,
        "start_index": start,
        "end_index": start + len(link),
    }


# Sums and equations


def _solved(question: str, language: str) -> Worked | None:
    equation = equations.find(question)
    if equation is None:
        return None
    roots = equation.solutions()
    printed = " ".join([equation.unknown, "=", *(roots or ["none"])])
    found = ", ".join(f"**{equation.unknown} = {root}**" for root in roots) or phrase("no_root", language)
    return Worked([(equation.code, printed + "\n")], f"`{equation.text}`: {found}")


def _summed(question: str) -> Worked | None:
    sum_ = arithmetic.expression(question) or arithmetic.embedded(question)
    if sum_ is None:
        return None
    try:
        value = arithmetic.value(sum_)
    except ValueError:
        return None
    shown = sum_.replace("**", "^").replace("*", "×")
    return Worked([(f"print({sum_})", f"{value}\n")], f"{shown} = **{arithmetic.written(value)}**")


def _listed(container: Container, language: str) -> Worked:
    """What there is to do when a call is demanded and no recipe fits."""
    names = sorted(file.name for file in container.files.values())
    told = ", ".join(f"`{name}`" for name in names) or "–"
    code = f'import os\n\nprint(sorted(os.listdir("{FOLDER.rstrip("/")}")))'
    return Worked([(code, f"{names}\n")], phrase("no_recipe", language, names=told))


# Tables


@dataclass(frozen=True)
class Table:
    name: str
    encoding: str
    delimiter: str
    header: list[str]
    rows: list[dict[str, Any]]
    numbers: dict[str, list[float]]
    """The columns that hold nothing but numbers and blanks."""


def _tabulated(question: str, language: str, container: Container, bench: Bench) -> Worked | None:
    for file in reversed([file for file in container.files.values() if file.source == "user" and _is_table(file.name)]):
        table = read_table(file)
        if table is not None:
            return _about_table(question, language, table, container, bench)
    return None


def read_table(file: ContainerFile) -> Table | None:
    """Read a file with a heading row; None when it holds no table."""
    try:
        with file.blob.path.open("rb") as opened:
            data = opened.read(MAX_TABLE_BYTES + 1)
    except OSError:
        return None
    encoding = _encoding(data)
    text = data.decode(encoding)
    delimiter = max(",;\t|", key=text.partition("\n")[0].count)
    if len(data) > MAX_TABLE_BYTES:
        return None
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        most = MAX_CELLS // max(1, len(reader.fieldnames or ()))
        rows = list(islice(reader, most + 1))
    except csv.Error:
        return None
    if len(rows) > most:
        return None
    header = list(dict.fromkeys(name for name in reader.fieldnames or () if name))
    numbers = {name: found for name in header if (found := _numbers(row.get(name) for row in rows)) is not None}
    kept = dict(list(numbers.items())[:MAX_COLUMNS])
    return Table(file.name, encoding, delimiter, header, rows, kept) if rows else None


def _encoding(data: bytes) -> str:
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "latin-1"  # reads any bytes
    return "utf-8-sig"


def _numbers(cells: Iterable[Any]) -> list[float] | None:
    """The numbers of a column; None when something else stands in it."""
    try:
        found = [float(cell) for cell in cells if cell]
    except (TypeError, ValueError):
        return None
    return found if found and all(abs(value) < MAX_NUMBER for value in found) else None


def _about_table(question: str, language: str, table: Table, container: Container, bench: Bench) -> Worked:
    summary = [_row(name, values) for name, values in table.numbers.items()]
    printed = "".join(f"{' '.join(map(str, row))}\n" for row in summary)
    runs = [(_summary_code(table), f"{len(table.rows)} rows\n{printed}")]
    text = io.StringIO()
    csv.writer(text).writerows([_HEADING, *summary])
    files = [bench.containers.write(container, text.getvalue().encode(), "summary.csv", "text/csv")]
    if table.numbers:
        code, picture = _chart(question, table)
        runs.append((code, ""))
        files.append(bench.containers.write(container, picture, "chart.png", "image/png"))
    listed = "\n".join(f"| {' | '.join(_cell(value) for value in row)} |" for row in summary)
    heading = f"| {' | '.join(_HEADING)} |\n|{' --- |' * len(_HEADING)}"
    name, columns = f"**{_cell(table.name)}**", ", ".join(map(_cell, table.header))
    counted = phrase("table_facts", language, name=name, count=len(table.rows), columns=columns)
    return Worked(runs, f"{counted}\n\n{heading}\n{listed}" if summary else counted, files)


_HEADING = ["column", "count", "min", "max", "mean", "sum"]


def _row(name: str, values: list[float]) -> list[Any]:
    return [
        name,
        len(values),
        min(values),
        max(values),
        round(statistics.fmean(values), 6),
        round(math.fsum(values), 6),
    ]


def _cell(value: Any) -> str:
    shown = f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
    return re.sub(r"([\\|`*_<\[\]])", r"\\\1", " ".join(shown.split()))


def _summary_code(table: Table) -> str:
    return f"""import csv, math, statistics

with open({FOLDER + table.name!r}, newline="", encoding={table.encoding!r}) as file:
    rows = list(csv.DictReader(file, delimiter={table.delimiter!r}))
print(len(rows), "rows")
with open({FOLDER + "summary.csv"!r}, "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow({_HEADING!r})
    for column in {list(table.numbers)!r}:
        values = [float(row[column]) for row in rows if row[column]]
        mean, total = round(statistics.fmean(values), 6), round(math.fsum(values), 6)
        summary = [column, len(values), min(values), max(values), mean, total]
        writer.writerow(summary)
        print(*summary)
"""


# Numbers that stand in the question itself

_CHART = re.compile(r"\b(?:chart|plot|graph)\b|diagramm|graphique|gráfic|图表|圖表|グラフ|차트|그래프", re.IGNORECASE)
_NUMBER = re.compile(r"(?:\b([^\W\d_]{2,30})\s*[:=]?\s*)?(?<![\w.])(-?\d{1,15}(?:\.\d{1,9})?)(?![\w%]|\.\d)")
_NO_LABELS = frozenset(("of", "and", "with", "from", "for", "values", "numbers", "von", "und", "de", "et", "y", "mit"))
MAX_CHARTED = 200


def charted_numbers(question: str) -> list[tuple[str, float]]:
    """The numbers to draw, each with what stands before it as its name; empty when no chart of numbers is asked for."""
    if not _CHART.search(question):
        return []
    found = [(name, float(number)) for name, number in _NUMBER.findall(question)[:MAX_CHARTED]]
    if len(found) < 2:
        return []
    names = [name for name, _ in found]
    are_named = all(names) and len(set(names)) == len(names) and not _NO_LABELS & {name.lower() for name in names}
    return found if are_named else [(str(place), value) for place, (_, value) in enumerate(found, start=1)]


def _charted(
    question: str, language: str, numbers: Sequence[tuple[str, float]], container: Container, bench: Bench
) -> Worked:
    """A chart, and the numbers beside it as a file."""
    kind = "line" if _LINES.search(question) else "bar"
    labels, values = [name for name, _ in numbers], [value for _, value in numbers]
    text = io.StringIO()
    csv.writer(text).writerows([("name", "value"), *((name, f"{value:g}") for name, value in numbers)])
    files = [
        bench.containers.write(container, charts.chart(kind, "", labels, values), "chart.png", "image/png"),
        bench.containers.write(container, text.getvalue().encode(), "data.csv", "text/csv"),
    ]
    code = f"""import csv
import matplotlib.pyplot as plt

names = {labels!r}
values = {values!r}
plt.{"plot" if kind == "line" else "bar"}(names, values)
plt.savefig({FOLDER + "chart.png"!r})
with open({FOLDER + "data.csv"!r}, "w", newline="", encoding="utf-8") as file:
    csv.writer(file).writerows([("name", "value"), *zip(names, values)])
"""
    return Worked([(code, "")], phrase("chart_of_numbers", language, count=len(values)), files)


def _chart(question: str, table: Table) -> tuple[str, bytes]:
    """Code for matplotlib, and the like picture, which is drawn here."""
    column = next((name for name in table.numbers if name.lower() in question.lower()), next(iter(table.numbers)))
    names = next((name for name in table.header if name not in table.numbers), None)
    rows = [row for row in table.rows if row.get(column)]
    labels = [str(row.get(names) or "") if names else str(number) for number, row in enumerate(rows, start=1)]
    kind = "line" if _LINES.search(question) or len(rows) > 24 else "bar"
    title = f"{column} by {names}" if names else column
    plotted = "plot" if kind == "line" else "bar"
    across = f"[row[{names!r}] for row in rows]" if names else "range(1, len(rows) + 1)"
    code = f"""import csv
import matplotlib.pyplot as plt

with open({FOLDER + table.name!r}, newline="", encoding={table.encoding!r}) as file:
    rows = [row for row in csv.DictReader(file, delimiter={table.delimiter!r}) if row[{column!r}]]
plt.{plotted}({across}, [float(row[{column!r}]) for row in rows])
plt.title({title!r})
plt.savefig({FOLDER + "chart.png"!r})
"""
    return code, charts.chart(kind, title, labels, [float(row[column]) for row in rows])


def check(tool: Json, bench: Bench, param: str) -> None:
    """Refuse a container that is not there, or files that are not, before anything is answered."""
    container = tool["container"]
    if isinstance(container, str):
        bench.containers.use(container)
        return
    for file_id in container.get("file_ids") or ():
        if bench.store.file(file_id) is None:
            raise WireError(404, f"No such File object: {file_id}", param=f"{param}.container.file_ids")
