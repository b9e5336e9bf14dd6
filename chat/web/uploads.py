"""Files come in, in slices, and go out to their owner alone."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import UploadedFile
from django.db.models.fields.files import FieldFile
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from chat.conversations.accepted import accepted_from
from chat.conversations.forget import forget_attachment
from chat.files import intake, limits
from chat.files.errors import Refused, StorageAway, WrongOffset, megabytes, quoted
from chat.files.inspect import clean_name
from chat.files.serving import serve, still_good
from chat.models import Attachment, User
from chat.rendering.views import chip_view
from chat.web import actions
from chat.web.access import PersonRequest, attachment_for, person_only

if TYPE_CHECKING:
    GivenFile = UploadedFile[bytes]

logger = logging.getLogger(__name__)

OFFSET_HEADER = "Upload-Offset"
BROKEN = "This upload is broken. Reload the page and attach the file again."


@require_POST
@person_only
def files(request: PersonRequest) -> HttpResponse:
    """Announce a file by name and size. The answer is its chip, which says where the slices go."""
    size = request.POST.get("size", "")
    try:
        attachment = intake.begin(
            request.user, request.POST.get("name", ""), int(size) if size.isdecimal() and len(size) < 16 else 0
        )
    except Refused as refused:
        return sentence(refused.sentence)
    return chip(request, attachment)


@require_http_methods(["PUT"])
@person_only
def file_slice(request: PersonRequest, pk: uuid.UUID) -> HttpResponse:
    """Take the bytes at Upload-Offset: 204 go on, 200 the finished chip, 409 go on elsewhere, 422 refused.

    503 while another request checks the file: ask again.
    """
    attachment = attachment_for(request.user, pk)
    offset = request.headers.get(OFFSET_HEADER, "")
    if not offset.isdecimal() or len(offset) > 15:
        return sentence(BROKEN)
    try:
        attachment = intake.append_slice(attachment, int(offset), _bytes_of(request))
        if attachment.received < attachment.size:
            return HttpResponse(status=204, headers={OFFSET_HEADER: str(attachment.received)})
        attachment = intake.finish(attachment, accepted_from(request.user))
    except WrongOffset as wrong:
        return HttpResponse(status=409, headers={OFFSET_HEADER: str(wrong.expected)})
    except Refused as refused:
        return sentence(refused.sentence)
    except RequestDataTooBig:
        return sentence(BROKEN)
    except StorageAway as away:
        return storage_is_away(away)
    if attachment.status == Attachment.Status.REFUSED:
        return sentence(attachment.refusal)
    if attachment.status == Attachment.Status.CHECKING:
        # Another request with the last slice is at it. The page asks again after a pause, and sends no bytes with it.
        return HttpResponse(status=503, headers={"Retry-After": "1", OFFSET_HEADER: str(attachment.size)})
    return chip(request, attachment)


def _bytes_of(request: PersonRequest) -> bytes:
    """Read, not `request.body`: that keeps them with the request, which stays until Python next searches for cycles."""
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    data = request.read(most + 1)
    if len(data) > most:
        raise RequestDataTooBig
    return data


@require_POST
@person_only
def ask_with_file(request: PersonRequest, pk: uuid.UUID | None = None) -> HttpResponseBase:
    """Without JavaScript: a small file comes in one form with the question."""
    given = request.FILES.get("file")
    if isinstance(given, UploadedFile):
        try:
            attachment = _receive(request.user, given)
        except Refused as refused:
            return actions.refusal(request, refused.sentence)
        data = request.POST.copy()
        data.appendlist("attachment", str(attachment.pk))
        request.POST = data  # type: ignore[assignment]
    return actions.take_question(request, pk)


def _receive(owner: User, given: GivenFile) -> Attachment:
    name, size = given.name or "", given.size or 0
    if size > limits.PLAIN_FORM_BYTES:
        raise Refused(
            f"{quoted(clean_name(name))} is {megabytes(size)}. In a browser without JavaScript files of up to "
            f"{megabytes(limits.PLAIN_FORM_BYTES)} are accepted. Switch JavaScript on, or choose a smaller file."
        )
    attachment = intake.begin(owner, name, size)
    for offset, piece in enumerate(given.chunks(settings.FILE_SLICE_BYTES)):
        intake.append_slice(attachment, offset * settings.FILE_SLICE_BYTES, piece)
    intake.finish(attachment, accepted_from(owner))
    if attachment.status == Attachment.Status.REFUSED:
        raise Refused(attachment.refusal)
    return attachment


@require_http_methods(["GET", "HEAD", "DELETE"])
@person_only
async def file(request: PersonRequest, pk: uuid.UUID) -> HttpResponseBase:
    """GET: the file, with `?download` never shown by the browser. DELETE: take it out of the composer; one that a turn shows stays."""
    attachment = await sync_to_async(attachment_for)(request.user, pk)
    if request.method == "DELETE":
        await sync_to_async(_discard)(attachment)
        return HttpResponse(status=200)
    if attachment.status != Attachment.Status.READY:
        raise Http404
    return await _stored(request, attachment, attachment.file, attachment.name, attachment.media_type)


@require_http_methods(["GET", "HEAD"])
@person_only
async def file_thumbnail(request: PersonRequest, pk: uuid.UUID) -> HttpResponseBase:
    attachment = await sync_to_async(attachment_for)(request.user, pk)
    if not attachment.thumbnail:
        raise Http404
    return await _stored(request, attachment, attachment.thumbnail, f"{attachment.name}.webp", "image/webp")


async def _stored(
    request: PersonRequest, attachment: Attachment, file: FieldFile, name: str, media_type: str
) -> HttpResponseBase:
    version = f'"{attachment.pk}"'  # what is under an id never changes
    if (kept := still_good(request, version, media_type=media_type)) is not None:
        return kept
    # A part of another version would not fit to what the browser has.
    span = request.headers.get("Range", "") if request.headers.get("If-Range", version) == version else ""
    try:
        response = await serve(file, name=name, media_type=media_type, span=span, download="download" in request.GET)
    except FileNotFoundError as lost:
        logger.error("the storage has lost %s", file.name)
        raise Http404 from lost
    except StorageAway as away:
        return storage_is_away(away)
    response.headers["ETag"] = version
    return response


def _discard(attachment: Attachment) -> None:
    """One that nothing shows; also its copy at a provider, which it may have from the same content under another name."""
    if attachment.turns.exists() or attachment.made_by_id is not None:
        return
    if attachment.status == Attachment.Status.READY:
        forget_attachment(attachment)
    else:
        intake.discard(attachment)


def chip(request: PersonRequest, attachment: Attachment) -> HttpResponse:
    return render(request, "chat/_chip.html", {"chip": chip_view(attachment)})


def storage_is_away(why: StorageAway) -> HttpResponse:
    """The page that uploads asks again after a pause; who opens a file reads the sentence."""
    logger.error("the storage does not answer: %s", why)
    away = "The storage of files does not answer. Try again in a moment."
    return HttpResponse(away, status=503, headers={"Retry-After": "2"}, content_type="text/plain; charset=utf-8")


def sentence(text: str) -> HttpResponse:
    return HttpResponse(text, status=422, content_type="text/plain; charset=utf-8")
