"""What the model made in a response: noted when it ends, and fetched at once, since containers die within minutes.

    the stream      → `Pictures` takes the bytes of each picture out of the events, onto the disk: neither the draft nor
                      the row ever holds them; what stands there instead is `made:` and a name
    the end stored  → `note`: a row for each picture and file, CHECKING, by which the page says what is being fetched
    the page told   → `collect`: fetched, looked into, stored, READY; or REFUSED with a sentence that says what is missing
    `run`           → what a process left when it died is fetched by another, or is said to be gone

A row that is being fetched is had by its `created_at`: whoever moves it on, with one conditional UPDATE, has it for
STALE_SECONDS.
"""

from __future__ import annotations

import asyncio
import binascii
import dataclasses
import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from chat import engines
from chat.files import made as keeping
from chat.files.errors import StorageAway, quoted
from chat.files.inspect import TITLE_MAX_CHARACTERS, clean_name
from chat.files.storage import drop_bytes, on_disk
from chat.models import Attachment, Response
from chat.models.files import MADE_NAME_LENGTH
from chat.rendering.answer import HasOutput, marked_blocks, parts_of, picture_name
from chat.rendering.escape import tidy
from chat.rendering.made import MADE, name_in, references_in
from chat.responses.client import Client
from chat.responses.errors import BadStream, InvalidRequest, NotFound, ResponsesError, Unsupported
from chat.responses.events import Event, ItemEvent, PartialImage, Terminal
from chat.responses.fold import TERMINAL
from chat.turns.db import in_db
from chat.turns.writer import REFUSALS

if TYPE_CHECKING:
    from chat.turns.job import Job

logger = logging.getLogger(__name__)

MOST_FILES = 20  # of one response
AT_ONCE = 4
COLLECT_SECONDS = 60.0
STALE_SECONDS = 90.0
LOOK_SECONDS = 30.0
TRIED_FOR = timedelta(minutes=30)  # a container lives for twenty, unless it is used
LISTED = 1_000  # files of a container, when one has to be found by its name
LIST_SECONDS = 3.0  # the page waits for it to say what is being fetched

UNNAMED = "sandbox:"
"""In the place of a file's id: the text names it, and nothing cites it."""

Status = Attachment.Status

DECODED_AT_ONCE = 256 * 1024  # characters, a multiple of four
_writers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="pictures")


# While it streams


class Pictures:
    """The pictures of one response, in files of this process from the moment that they came."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._end: Callable[[], object] = lambda: None
        self._written: dict[str, Future[Path | None]] = {}
        self._previews: dict[str, Future[Path | None]] = {}
        self._lengths: dict[str, int] = {}
        self._count = 0

    def taken_out(self, event: Event) -> Event:
        """The event with a name in the place of each picture's bytes. They are written by another thread."""
        match event:
            case ItemEvent(item=Mapping() as item) if _is_picture(item):
                lighter = self._lighter(item)
                return dataclasses.replace(event, item=lighter, raw={**event.raw, "item": lighter})
            case Terminal(response=response) if any(map(_is_picture, _items(response))):
                output = [self._lighter(item) if _is_picture(item) else item for item in _items(response)]
                lighter = {**response, "output": output}
                return dataclasses.replace(event, response=lighter, raw={**event.raw, "response": lighter})
            case PartialImage(item_id=str(name)):
                self._write(name, event.partial_image_b64, self._previews)
        return event

    def path_of(self, name: str) -> Path | None:
        """None for a picture that did not come here, or cannot be read. Waits until it is written."""
        written = self._written.get(name)
        return written.result() if written is not None else None

    def preview(self, name: str) -> bytes:
        """The newest one of a picture that is being made, painted small; nothing where there is none. Blocks."""
        written = self._previews.get(name)
        path = written.result() if written is not None else None
        return keeping.preview(path) if path is not None else b""

    def close(self) -> None:
        """Delete the files. Whoever is let go of without it has it done then."""
        self._end()

    def _lighter(self, item: Mapping[str, Any]) -> dict[str, Any]:
        result = item.get("result")
        if isinstance(result, str) and result.startswith(MADE):
            return dict(item)  # as it was stored
        if isinstance(result, str) and result:
            name = picture_name(dict(item)) if item.get("id") else f"picture-{len(self._written) + 1}"
            if self._lengths.get(name) != len(result):  # it comes twice: when it is done, and in the last word
                self._write(name, result, self._written)
                self._lengths[name] = len(result)
            return {**item, "result": f"{MADE}{name}"}
        name = picture_name(dict(item))
        if name in self._written:  # the last word leaves out what came before
            return {**item, "result": f"{MADE}{name}"}
        if item.get("status") == "completed" and name in self._previews:
            self._written[name] = self._previews[name]  # some send the last preview and nothing behind it
            return {**item, "result": f"{MADE}{name}"}
        return dict(item)

    def _write(self, name: str, encoded: str, written: dict[str, Future[Path | None]]) -> None:
        if len(written) >= MOST_FILES and name not in written:
            return
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pictures-"))
            self._end = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._count += 1
        written[name] = _writers.submit(write_decoded, encoded, self._folder / str(self._count))


class Previews:
    """Shows the newest preview of what is being made. One is painted at a time; those that came meanwhile are passed over."""

    def __init__(self, pictures: Pictures, show: Callable[[str, bytes], None]) -> None:
        self._pictures = pictures
        self._show = show
        self._newest = ""
        self._task: asyncio.Task[None] | None = None

    def came(self, name: str) -> None:
        self._newest = name
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._paint(), name="previews")

    async def settle(self) -> None:
        """Wait for what is being painted: it reads files that are deleted then."""
        self._newest = ""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _paint(self) -> None:
        while name := self._newest:
            self._newest = ""
            if picture := await asyncio.to_thread(self._pictures.preview, name):
                self._show(name, picture)


def write_decoded(encoded: str, path: Path) -> Path | None:
    """Write the bytes of a picture; None for what is no base64, or is larger than any file here. Blocks.

    Piece by piece: the decoder lets no other thread run meanwhile.
    """
    if len(encoded) > settings.FILE_MAX_BYTES * 4 // 3 + 4:
        return None
    encoded = encoded.partition("base64,")[2] or encoded
    try:
        with path.open("wb") as file:
            for at in range(0, len(encoded), DECODED_AT_ONCE):
                file.write(binascii.a2b_base64(encoded[at : at + DECODED_AT_ONCE], strict_mode=True))
    except (binascii.Error, ValueError):
        return None
    return path


def _is_picture(item: Mapping[str, Any]) -> bool:
    return item.get("type") == "image_generation_call"


def _items(response: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    output = response.get("output")
    return [item for item in output if isinstance(item, Mapping)] if isinstance(output, list) else []


# When it ends


@dataclass(frozen=True)
class Wanted:
    """A file of a response that is to be fetched. `title` is what it shows, where somebody said."""

    made_as: str
    name: str
    title: str = ""


def wanted(response: HasOutput) -> list[Wanted]:
    """What a response made: its pictures, the files that it cites, and those that its text alone names."""
    output = [item for item in response.output or [] if isinstance(item, dict)]
    found = {file.made_as: file for file in [*_pictures_in(output), *_cited_in(output)]}
    names = {file.name for file in found.values()}
    container = _container_of(output)
    for reference in references_in(marked_blocks(response).values()):
        name = name_in(reference)
        if name and name not in names:
            made_as = f"{container}/{UNNAMED}{name}"
            found[made_as] = Wanted(made_as, name)
    return [file for file in found.values() if len(file.made_as) <= MADE_NAME_LENGTH][:MOST_FILES]


def _pictures_in(output: Sequence[dict[str, Any]]) -> Iterator[Wanted]:
    number = 0
    for item in output:
        if _is_picture(item) and item.get("result"):
            number += 1
            ending = str(item.get("output_format") or "png")
            name = clean_name(f"image{'' if number == 1 else f'-{number}'}.{ending}")
            title = " ".join(tidy(str(item.get("revised_prompt") or "")).split())
            yield Wanted(picture_name(item), name, title[:TITLE_MAX_CHARACTERS])


def _cited_in(output: Sequence[dict[str, Any]]) -> Iterator[Wanted]:
    for item in output:
        for part in parts_of(item) if item.get("type") == "message" else ():
            annotations = part.get("annotations")
            for annotation in annotations if isinstance(annotations, list) else ():
                if isinstance(annotation, dict) and annotation.get("type") == "container_file_citation":
                    container, file = str(annotation.get("container_id")), str(annotation.get("file_id"))
                    yield Wanted(f"{container}/{file}", clean_name(str(annotation.get("filename") or file)))


def _container_of(output: Sequence[dict[str, Any]]) -> str:
    """The container that was used last; "" where none was."""
    used = [item.get("container_id") for item in output if item.get("type") == "code_interpreter_call"]
    return str(next((container for container in reversed(used) if container), ""))


def no_more(job: Job) -> None:
    """What is still being made when an answer ends is not made any more."""
    for item in job.draft.items:
        if item.type == "image_generation_call" and item.status not in TERMINAL:
            item.status = "incomplete"


async def note(job: Job) -> None:
    """Store what is to be fetched, so that the page says it, and another process goes on should this one die."""
    if not _may_have_made(job):
        return
    unnamed = await _unnamed(job)
    try:
        job.made = await in_db(
            _note, job.response.pk, job.turn.conversation.owner_id, job.draft.output(), unnamed=unnamed
        )
    except (DatabaseError, *REFUSALS):
        logger.exception("response %s: what it made could not be noted", job.response.pk)


async def _unnamed(job: Job) -> list[Wanted]:
    """What the code interpreter wrote into its containers, whether or not the answer says so."""
    calls = [item.get("container_id") for item in job.draft.items if item.type == "code_interpreter_call"]
    containers = [container for container in dict.fromkeys(calls) if isinstance(container, str) and container]
    found: list[Wanted] = []
    if not (job.client and job.dialect.containers and job.draft.terminal_seen):
        return found
    try:
        async with asyncio.timeout(LIST_SECONDS):
            for container in containers:
                async for file in job.client.container_files(container):
                    if file.get("source") == "assistant" and file.get("id") and len(found) < LISTED:
                        name = clean_name(str(file.get("path") or file["id"]))
                        found.append(Wanted(f"{container}/{file['id']}", name))
    except (ResponsesError, TimeoutError) as error:
        logger.info("response %s: its containers could not be looked into: %s", job.response.pk, error)
    return found


def note_closed(response: Response) -> None:
    """As `note`, for a run whose process died: `run` fetches it at its next look."""
    output = response.output or []
    if "made:" in (told := str(output)) or "container_file_citation" in told or "sandbox:" in told:
        then = timezone.now() - timedelta(seconds=STALE_SECONDS)
        _note(response.pk, response.turn.conversation.owner_id, output, then)


def _may_have_made(job: Job) -> bool:
    """Nearly every answer has not, and costs nothing here."""
    if any(item.type in ("image_generation_call", "code_interpreter_call") for item in job.draft.items):
        return True
    text = job.draft.text()
    return "sandbox:" in text or any(part.annotations for item in job.draft.items for part in item.content.values())


@dataclass
class _Ended:
    """A response as its row has it."""

    pk: int
    output: list[dict[str, Any]]


def _note(
    response_pk: int,
    owner_id: Any,
    output: list[dict[str, Any]],
    begun_at: datetime | None = None,
    unnamed: Sequence[Wanted] = (),
) -> list[Attachment]:
    named = wanted(_Ended(response_pk, output))
    rows = [
        Attachment(
            owner_id=owner_id,
            name=file.name,
            title=file.title,
            status=Status.CHECKING,
            made_by_id=response_pk,
            made_as=file.made_as,
            created_at=begun_at or timezone.now(),
        )
        for file in [*named, *_new(unnamed, named, owner_id)][:MOST_FILES]
    ]
    if not rows:
        return []
    Attachment.objects.bulk_create(rows, ignore_conflicts=True)
    return list(Attachment.objects.filter(made_by=response_pk, status=Status.CHECKING).select_related("made_by"))


def _new(unnamed: Sequence[Wanted], named: Sequence[Wanted], owner_id: Any) -> list[Wanted]:
    """Those that neither this answer names nor an earlier one had made: a container serves several."""
    ways = {way for file in unnamed for way in _ways_to_name(file)}
    earlier = Attachment.objects.filter(owner_id=owner_id, made_as__in=ways) if ways else Attachment.objects.none()
    known = {*earlier.values_list("made_as", flat=True), *(file.made_as for file in named)}
    return [file for file in unnamed if known.isdisjoint(_ways_to_name(file)) and len(file.made_as) <= MADE_NAME_LENGTH]


def _ways_to_name(file: Wanted) -> tuple[str, str]:
    """By its id, and by its name as a text does."""
    return file.made_as, f"{file.made_as.partition('/')[0]}/{UNNAMED}{file.name}"


# When it is stored, and the page is told


async def collect(job: Job) -> None:
    """Fetch what was noted of this response. What cannot be had now is left to `run`."""
    try:
        if job.made and job.client is not None:
            await _collect(job.client, job.response.pk, job.made, job.pictures)
    finally:
        await job.previews.settle()
        await asyncio.to_thread(job.pictures.close)


async def _collect(client: Client, response_pk: int, rows: Iterable[Attachment], pictures: Pictures) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    fetching = _Fetching(client, pictures)
    try:
        async with asyncio.timeout(COLLECT_SECONDS), asyncio.TaskGroup() as group:
            for row in rows:
                group.create_task(_settled(fetching, row, places))
    except TimeoutError:
        logger.warning("response %s: not all that it made could be fetched yet", response_pk)


async def _settled(fetching: _Fetching, row: Attachment, places: asyncio.Semaphore) -> None:
    """Give one row its end, or leave it as it is to be tried again."""
    async with places:
        with tempfile.TemporaryDirectory(prefix="made-", ignore_cleanup_errors=True) as folder:
            try:
                path = await fetching.fetch(row, Path(folder) / "file")
                await _store(row, await asyncio.to_thread(keeping.keep, row, path))
            except (NotFound, InvalidRequest, Unsupported, LookupError) as gone:
                logger.info("attachment %s: %s is gone: %s", row.pk, row.made_as, gone)
                await _refuse(row, f"{quoted(row.name)} is gone: the provider does not have it any more.")
            except BadStream as error:
                await _refuse(row, f"{quoted(row.name)}: {error.user_message}")
            except (ResponsesError, StorageAway) as error:
                logger.warning("attachment %s: cannot be fetched now: %s", row.pk, error)
            except (OSError, DatabaseError):
                logger.exception("attachment %s: could not be kept; it will be tried again", row.pk)


async def _refuse(row: Attachment, sentence: str) -> None:
    await _store(row, {"status": Status.REFUSED, "refusal": sentence[:300]})


async def _store(row: Attachment, fields: dict[str, Any]) -> None:
    if not await in_db(_update, row, fields):  # deleted meanwhile
        await asyncio.to_thread(drop_bytes, row)


def _update(row: Attachment, fields: dict[str, Any]) -> int:
    return Attachment.objects.filter(pk=row.pk, status=Status.CHECKING).update(**fields)


class _Fetching:
    """Brings the bytes of what one response made, from wherever they are. What is listed is listed once."""

    def __init__(self, client: Client, pictures: Pictures) -> None:
        self._client = client
        self._has_containers = client.endpoint.dialect.containers
        self._pictures = pictures
        self._listed: dict[str, asyncio.Task[dict[str, str]]] = {}
        self._response: asyncio.Task[dict[str, Any]] | None = None

    async def fetch(self, row: Attachment, path: Path) -> Path:
        """A file with the bytes. Raises LookupError when they are nowhere."""
        container, slash, file = row.made_as.partition("/")
        if not slash:
            return await self._picture(row, path)
        if not file.startswith(UNNAMED):
            return await self._from(container, file, path)
        name = file.removeprefix(UNNAMED)
        try:
            return await self._from(container, await self._id_of(container, name), path)
        except (NotFound, InvalidRequest, LookupError):
            return await self._copy_of_earlier(row, name, path)

    async def _from(self, container: str, file: str, path: Path) -> Path:
        if not self._has_containers:
            raise LookupError(f"{container} cannot be looked into")
        await self._client.download_container_file(container, file, path, settings.FILE_MAX_BYTES)
        return path

    async def _copy_of_earlier(self, row: Attachment, name: str, path: Path) -> Path:
        """What an earlier answer of the conversation made, and this one names again: models do, without making it anew."""
        earlier = await in_db(Attachment.objects.made_before(row, name).first)
        if earlier is None:
            raise LookupError(f"{name} is nowhere")
        await asyncio.to_thread(_copy, earlier, path)
        return path

    async def _picture(self, row: Attachment, path: Path) -> Path:
        here = await asyncio.to_thread(self._pictures.path_of, row.made_as)
        if here is not None:
            return here
        # The process that it came to has died: who made it may still have it.
        assert row.made_by is not None
        if not row.made_by.response_id:
            raise LookupError(f"{row.made_as} came to another process")
        if self._response is None:
            self._response = asyncio.ensure_future(self._client.retrieve(row.made_by.response_id))
        for item in _items(await self._response):
            result = item.get("result") if picture_name(dict(item)) == row.made_as else None
            if isinstance(result, str) and result:
                written = await asyncio.to_thread(write_decoded, result, path)
                if written is not None:
                    return written
        raise LookupError(f"{row.made_as} is in no response")

    async def _id_of(self, container: str, name: str) -> str:
        if not (container and self._has_containers):
            raise LookupError(f"{name} is in no container")
        if container not in self._listed:
            self._listed[container] = asyncio.ensure_future(self._names_in(container))
        return (await self._listed[container])[name]

    async def _names_in(self, container: str) -> dict[str, str]:
        found: dict[str, str] = {}
        async for file in self._client.container_files(container):
            found[clean_name(str(file.get("path") or ""))] = str(file.get("id"))
            if len(found) >= LISTED:
                break
        return found


def _copy(attachment: Attachment, path: Path) -> None:
    with on_disk(attachment) as stored:
        shutil.copyfile(stored, path)


# What was left


async def run() -> None:
    """Look every now and then, until cancelled, for what a process left that died or could not have it then."""
    while True:
        try:
            await collect_left()
        except DatabaseError:
            logger.exception("what is still to be fetched could not be looked for; trying again")
        await asyncio.sleep(LOOK_SECONDS)


async def collect_left() -> int:
    """Fetch what has waited for STALE_SECONDS, or say that it is gone. How many rows were taken up."""
    rows = await in_db(_left)
    by_response: dict[int, list[Attachment]] = {}
    for row in rows:
        by_response.setdefault(row.made_by_id or 0, []).append(row)
    for response_pk, theirs in by_response.items():
        client = _client_of(theirs[0])
        if client is None or _is_over(theirs[0]):
            for row in theirs:
                await _refuse(row, f"{quoted(row.name)} is gone: it could not be fetched in time.")
        else:
            await _collect(client, response_pk, theirs, Pictures())
    return len(rows)


def _left() -> list[Attachment]:
    now = timezone.now()
    stale = Attachment.objects.to_fetch(before=now - timedelta(seconds=STALE_SECONDS))
    rows = stale.select_related("made_by__turn__deployment__provider")[:MOST_FILES]
    return [row for row in rows if _taken(row, now)]


def _taken(row: Attachment, now: datetime) -> bool:
    unmoved = Attachment.objects.filter(pk=row.pk, status=Status.CHECKING, created_at=row.created_at)
    return bool(unmoved.update(created_at=now))


def _is_over(row: Attachment) -> bool:
    """Whether its container has died by now."""
    assert row.made_by is not None
    ended = row.made_by.finished_at or row.made_by.created_at
    return timezone.now() - ended > TRIED_FOR


def _client_of(row: Attachment) -> Client | None:
    """None where the provider is not set up any more."""
    assert row.made_by is not None
    deployment = row.made_by.turn.deployment
    if deployment is None:
        return None
    try:
        return engines.client_for(deployment.provider, deployment)
    except (ResponsesError, KeyError, ValueError) as error:
        logger.info("attachment %s: nobody to fetch it from: %s", row.pk, error)
        return None
