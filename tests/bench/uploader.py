"""A browser that uploads one file again and again, as a process of its own: `python -m tests.bench.uploader`.

Its input is one line of JSON: where, as whom, which file, for how long, over how fast a line (bytes a second; 0: as fast
as it goes). Its output is one, too: what each upload took
in seconds, and what the chips said.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.bench.crowd import HOST, PAGE_HEADERS


class Browser:
    def __init__(self, port: int, cookie: str, rate: float) -> None:
        self._rate = rate
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookies = {"sessionid": cookie}
        page = self._ask("GET", "/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        slice_bytes = re.search(r'data-slice-bytes="(\d+)"', page)
        assert token
        assert slice_bytes
        self._token, self._slice_bytes = token[1], int(slice_bytes[1])

    def upload(self, name: str, data: bytes) -> str:
        """What the finished chip says."""
        form = urlencode({"name": name, "size": len(data)})
        chip = self._ask("POST", "/files/", form.encode(), **{"Content-Type": "application/x-www-form-urlencoded"})
        address = re.search(r'data-upload-url="([^"]+)"', chip)
        assert address, chip
        began = time.monotonic()
        for offset in range(0, len(data), self._slice_bytes):
            if self._rate:
                time.sleep(max(0.0, began + offset / self._rate - time.monotonic()))
            headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
            chip = self._ask("PUT", address[1], data[offset : offset + self._slice_bytes], **headers)
        said = re.search(r"data-chip-detail>([^<]*)", chip)
        return said[1] if said else chip

    def _ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> str:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        page = {**PAGE_HEADERS, "Origin": f"https://{HOST}", "Referer": f"https://{HOST}/"}
        token = {"X-CSRFToken": self._token} if method != "GET" else {}
        self._connection.request(method, path, body, {**page, **token, "Cookie": cookies, **headers})
        answer = self._connection.getresponse()
        text = answer.read().decode()
        assert answer.status in (200, 204), f"{answer.status}: {text[:300]}"
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        return text


def main(order: dict[str, Any]) -> dict[str, Any]:
    browser = Browser(order["port"], order["cookie"], order["rate"])
    data = Path(order["path"]).read_bytes()
    until = time.monotonic() + order["seconds"]
    took: list[float] = []
    said: list[str] = []
    while not took or time.monotonic() < until:
        began = time.monotonic()
        said.append(browser.upload("large.pdf", data))
        took.append(time.monotonic() - began)
    return {"took": took, "said": said}


if __name__ == "__main__":
    json.dump(main(json.loads(sys.stdin.readline())), sys.stdout)
