"""A remote image of an answer, once the person has asked to see it.

The page's own policy never lets a foreign image load. This is a page of its own, shown in a sandboxed
frame, whose policy admits the one host. The person's browser fetches the image; the server fetches nothing.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from chat.web.access import PersonRequest, person_only

URL_MAX_CHARACTERS = 2000


@require_safe
@person_only
def remote_image(request: PersonRequest) -> HttpResponse:
    url = request.GET.get("url", "")
    origin = origin_of(url)
    response = render(request, "chat/remote_image.html", {"url": url, "host": urlsplit(url).hostname})
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; img-src {origin}; style-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
    )
    response._csp_exempt = True  # type: ignore[attr-defined]
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def origin_of(url: str) -> str:
    """`https://host[:port]`, in characters that cannot break out of a policy. Raises Http404."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Http404 from error
    plain = host and all(c.isascii() and (c.isalnum() or c in ".-") for c in host)
    if len(url) > URL_MAX_CHARACTERS or parts.scheme not in ("http", "https") or not plain:
        raise Http404
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")
