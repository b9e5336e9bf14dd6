"""Turns an attachment into the part of a request that carries it, as the provider takes it.

Images go as data URLs. A PDF goes inline, or is uploaded once and then named by its id, or, where no PDF
is taken, as its text: the dialect says what is possible and the provider's policy what is wanted. Data goes to the
container of the code interpreter, by id, and the question names it.

What goes inline stays on the disk: a part carries a `DataURL`, whose file is read while the request is sent.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.files import images, limits, pdf, portions
from chat.files.errors import Refused, StorageAway, megabytes, quoted
from chat.files.storage import on_disk
from chat.models import Attachment, Forgetting, Provider, ProviderFile
from chat.responses.content import DataURL

if TYPE_CHECKING:
    from chat.responses.dialects import Dialect

__all__ = ["FileClient", "Refused", "content_part", "file_id", "forgotten_part", "is_crowded", "vanished"]

FilePolicy = Provider.FilePolicy

# A copy that expires while the answer is being made is of no use.
EXPIRY_MARGIN = timedelta(minutes=5)

# Seconds between looks at a copy that the provider still digests. After them it is used all the same.
DIGESTING_DELAYS = (0.2, 0.4, 0.8, 1.6, 2.0)
DIGESTING = ("uploaded", "pending", "running")

# 50 MB is what OpenAI and Azure take in one request, and base64 makes four bytes of three.
REQUEST_FILES_BYTES = 36 * 1024 * 1024

# After so long no request that names a replaced copy is on its way.
IN_USE_AT_MOST = timedelta(hours=1)

# One lock per content and provider, for as long as somebody holds it. The loop is part of the key, since
# an asyncio lock belongs to one.
_uploads: WeakValueDictionary[tuple[object, ...], asyncio.Lock] = WeakValueDictionary()


class FileClient(Protocol):
    """What is used of the provider's client."""

    async def upload_file(self, path: Path, filename: str, media_type: str, purpose: str) -> dict[str, Any]: ...

    async def retrieve_file(self, file_id: str) -> dict[str, Any]: ...


async def content_part(
    attachment: Attachment,
    *,
    provider: Provider,
    client: FileClient,
    dialect: Dialect,
    held: ExitStack,
    runs_code: bool = False,
    is_crowded: bool = False,
) -> dict[str, Any]:
    """The input part that carries `attachment`, or names it where it lies in the container of the code interpreter.

    `held` is for the caller to close when the request is over: until then the files of the part are there.
    `is_crowded`: there are more files in the request than providers take in one.
    Raises Refused, with a sentence for the person, when this provider cannot be given the file; errors of
    the client pass through.
    """
    if attachment.forgotten_at is not None:  # while this was on its way
        return forgotten_part(attachment)
    _refuse_unready(attachment)
    with _said_in_words(attachment):
        if attachment.is_image:
            return await _image(attachment, dialect, held)
        if attachment.is_data:
            return _named(attachment, runs_code)
        if not dialect.pdf_input:
            return await asyncio.to_thread(_text, attachment)
        # Azure answers a file inside the request with “Empty file.” where the code interpreter is on.
        if _goes_inline(attachment, provider, dialect, prefers_id=runs_code or is_crowded):
            return await asyncio.to_thread(_inline, attachment, held)
        return {"type": "input_file", "file_id": await _file_id(attachment, provider, client, dialect)}


def is_crowded(attachments: Iterable[Attachment]) -> bool:
    """Whether these are too much for one request, so that those that can should go by id."""
    return sum(attachment.size for attachment in attachments) > REQUEST_FILES_BYTES


async def file_id(attachment: Attachment, *, provider: Provider, client: FileClient, dialect: Dialect) -> str:
    """The id of the provider's copy, made now if there is none: for files that no part of the input carries.

    Raises as `content_part` does.
    """
    _refuse_unready(attachment)
    with _said_in_words(attachment):
        _refuse_larger(attachment, dialect.max_upload_bytes)
        return await _file_id(attachment, provider, client, dialect)


def forgotten_part(attachment: Attachment) -> dict[str, Any]:
    """What stands in a question for a file that its owner has deleted since."""
    return {
        "type": "input_text",
        "text": f"[The attached file {quoted(attachment.name)} was deleted. Its content is gone.]",
    }


async def vanished(attachment: Attachment, provider: Provider) -> bool:
    """Forget the copy that the provider says it does not have; the next `content_part` uploads again.

    True when there was one to forget, that is when another try makes sense.
    """
    deleted, _ = await _copies(attachment, provider).adelete()
    return deleted > 0


def _refuse_unready(attachment: Attachment) -> None:
    if attachment.status != Attachment.Status.READY:
        raise Refused(f"{quoted(attachment.name)} is not ready to be sent. Wait for it, or remove it.")


@contextmanager
def _said_in_words(attachment: Attachment) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Refused(
            f"{quoted(attachment.name)} is no longer stored. Attach it again, or go on without it."
        ) from error
    except StorageAway as error:
        raise Refused(f"{quoted(attachment.name)} cannot be read just now. Try again in a moment.") from error


async def _image(attachment: Attachment, dialect: Dialect, held: ExitStack) -> dict[str, Any]:
    if not dialect.image_base64 or attachment.media_type not in dialect.image_types:
        raise Refused(
            f"{quoted(attachment.name)} cannot be sent: this model's provider takes no images of its kind. "
            "Remove it, or choose another model."
        )
    url = await asyncio.to_thread(_image_url, attachment, held)
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def _image_url(attachment: Attachment, held: ExitStack) -> DataURL:
    with on_disk(attachment) as path:
        media_type, data = images.as_sent(path, attachment.media_type, called=quoted(attachment.name))
    return DataURL(held.enter_context(_in_a_file(data)), media_type)


@contextmanager
def _in_a_file(data: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="sent-") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def _inline(attachment: Attachment, held: ExitStack) -> dict[str, Any]:
    path = held.enter_context(on_disk(attachment))
    path.stat()  # what is lost is said before anything is sent
    url = DataURL(path, attachment.media_type)
    return {"type": "input_file", "filename": _name_on_the_wire(attachment), "file_data": url}


def _named(attachment: Attachment, runs_code: bool) -> dict[str, Any]:
    called = quoted(attachment.name)
    if not runs_code:
        raise Refused(f"{called} can only be read by a model that runs code. Choose such a model, or remove the file.")
    return {"type": "input_text", "text": f"[The attached file {called} lies in /mnt/data, for your Python tool.]"}


def _text(attachment: Attachment) -> dict[str, Any]:
    """What the PDF says, for a model that cannot be given the PDF. The marks let it cite pages."""
    called = quoted(attachment.name)
    with on_disk(attachment) as path:
        pages = pdf.page_texts(path, called=called)
    if not any(pages):
        raise Refused(
            f"{called} has no text to read, only pictures of pages, and this model takes no PDF. "
            "Choose another model, or attach the pages as images."
        )
    marked = [portions.marked(number, text) for number, text in enumerate(pages, start=1) if text]
    return {"type": "input_text", "text": "\n\n".join([portions.heading(attachment.name), *marked])}


def _name_on_the_wire(attachment: Attachment) -> str:
    """Providers go by the ending of the name; people's names may lack it or lie."""
    is_right = attachment.is_data or attachment.name.lower().endswith(".pdf")
    return attachment.name if is_right else f"{attachment.name}.pdf"


def _goes_inline(attachment: Attachment, provider: Provider, dialect: Dialect, *, prefers_id: bool) -> bool:
    """Whether the bytes travel inside the request. Raises Refused when they are too many for their way."""
    inline = not dialect.files_api or provider.file_policy == FilePolicy.INLINE
    if provider.file_policy == FilePolicy.AUTO and dialect.files_api:
        inline = not prefers_id and attachment.size <= min(limits.AUTO_INLINE_BYTES, dialect.max_inline_file_bytes)
    _refuse_larger(attachment, dialect.max_inline_file_bytes if inline else dialect.max_upload_bytes)
    return inline


def _refuse_larger(attachment: Attachment, limit: int) -> None:
    # Zero where a dialect states none, as with PDFs that an operator's override has switched on.
    if limit and attachment.size > limit:
        raise Refused(
            f"{quoted(attachment.name)} is {megabytes(attachment.size)}; this model's provider takes files of up to "
            f"{megabytes(limit)}. Split it, or choose another model."
        )


async def _file_id(attachment: Attachment, provider: Provider, client: FileClient, dialect: Dialect) -> str:
    """The id of the provider's copy, uploaded now if there is none. Callers at the same time share one upload."""
    key = (asyncio.get_running_loop(), provider.pk, attachment.owner_id, attachment.sha256)
    lock = _uploads.setdefault(key, asyncio.Lock())
    async with lock:
        known = await _known_copy(attachment, provider, dialect.file_purpose)
        if known is not None:
            return known
        copy = await _upload(attachment, client, dialect.file_purpose)
        await _remember(attachment, provider, dialect.file_purpose, copy)
        return str(copy["id"])


async def _upload(attachment: Attachment, client: FileClient, purpose: str) -> dict[str, Any]:
    with ExitStack() as stack:
        path = await asyncio.to_thread(stack.enter_context, on_disk(attachment))
        copy = await client.upload_file(path, _name_on_the_wire(attachment), attachment.media_type, purpose)
    for delay in DIGESTING_DELAYS:
        if copy.get("status") not in DIGESTING:
            break
        await asyncio.sleep(delay)
        copy = await client.retrieve_file(str(copy["id"]))
    if copy.get("status") in ("error", "failed"):
        raise Refused(
            f"The provider could not read {quoted(attachment.name)}. Save or export it again, then attach it."
        )
    return copy


async def _known_copy(attachment: Attachment, provider: Provider, purpose: str) -> str | None:
    """A copy of the same content, of the same person: ids of others are never reused."""
    lasting = Q(expires_at=None) | Q(expires_at__gt=timezone.now() + EXPIRY_MARGIN)
    copies = _copies(attachment, provider).filter(lasting, purpose=purpose).order_by("-created_at")
    return await copies.values_list("file_id", flat=True).afirst()


async def _remember(attachment: Attachment, provider: Provider, purpose: str, copy: dict[str, Any]) -> None:
    expires = copy.get("expires_at")
    values = {
        "file_id": str(copy["id"]),
        "expires_at": datetime.fromtimestamp(expires, UTC) if isinstance(expires, int | float) else None,
        "created_at": timezone.now(),
    }
    place: dict[str, Any] = {"attachment": attachment, "provider": provider, "purpose": purpose}
    replaced = await ProviderFile.objects.filter(**place).exclude(file_id=copy["id"]).afirst()
    await ProviderFile.objects.aupdate_or_create(**place, defaults=values)
    if replaced is not None:
        await _give_up(replaced)


async def _give_up(copy: ProviderFile) -> None:
    """Note that nobody names this copy any more. Not for now: another process may have made it, for a question on its way."""
    await Forgetting.objects.aget_or_create(
        provider_id=copy.provider_id,
        kind=Forgetting.Kind.FILE,
        upstream_id=copy.file_id,
        defaults={"next_try_at": timezone.now() + IN_USE_AT_MOST},
    )


def _copies(attachment: Attachment, provider: Provider) -> QuerySet[ProviderFile]:
    return ProviderFile.objects.filter(
        provider=provider, attachment__owner_id=attachment.owner_id, attachment__sha256=attachment.sha256
    )
