"""Attachments in object storage (S3, and what speaks like it), through django-storages.

Imported only where S3_BUCKET is set: boto3 is an extra.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from storages.backends.s3 import S3Storage

from chat.files.errors import StorageAway

READ_BYTES = 256 * 1024
TRIES = 3


class ObjectStorage(S3Storage):
    """django-storages' S3 with one connection for all threads, and files that are read as they arrive."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("client_config", _client_config(options.get("endpoint_url")))
        # Parts of a large file go up one after the other: at once they would all be in memory.
        options.setdefault("transfer_config", TransferConfig(use_threads=False))
        super().__init__(file_overwrite=True, **options)
        self._making = threading.Lock()
        self._made: Any = None

    @property
    def connection(self) -> Any:
        """Made once: django-storages makes one for each thread (40 ms), and under ASGI each request has its own."""
        with self._making:
            if self._made is None:
                self._made = self._create_session().resource(
                    "s3", region_name=self.region_name, endpoint_url=self.endpoint_url, config=self.client_config
                )
        return self._made

    def check(self) -> None:
        """Raise StorageAway, with the reason, when the bucket does not answer."""
        with translated():
            self.connection.meta.client.head_bucket(Bucket=self.bucket_name)

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        if mode != "rb":
            raise ValueError(f"A stored file is opened to be read as bytes, not as {mode!r}.")
        key = self._normalize_name(name)
        with translated(name):
            return File(io.BufferedReader(Stored(self.connection.meta.client, self.bucket_name, key), READ_BYTES), name)

    def _save(self, name: str, content: File[Any]) -> str:
        with translated(name):
            return str(super()._save(name, content))

    def delete(self, name: str) -> None:
        with translated(name):
            super().delete(name)

    def size(self, name: str) -> int:
        with translated(name):
            return int(super().size(name))

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        with translated(path):
            folders, files = super().listdir(path)
        return folders, files


class Stored(io.RawIOBase):
    """One object, read from wherever one seeks to, without ever holding it. A connection that breaks is made anew."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        super().__init__()
        self._client, self._where = client, {"Bucket": bucket, "Key": key}
        self._size = int(client.head_object(**self._where)["ContentLength"])
        self._position = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset != self._position:
            self._hang_up()
            self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._size:
            return 0
        with translated(self._where["Key"]):
            piece: bytes = self._again(lambda: self._read(len(buffer)))
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _read(self, length: int) -> bytes:
        if self._body is None:
            self._body = self._client.get_object(**self._where, Range=f"bytes={self._position}-")["Body"]
        return bytes(self._body.read(length))

    def _again(self, read: Callable[[], bytes]) -> bytes:
        for _ in range(TRIES - 1):
            try:
                return read()
            except BotoCoreError:
                self._hang_up()
        return read()

    def _hang_up(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


@contextmanager
def translated(name: str = "") -> Iterator[None]:
    """Errors of the storage as those of a file system, which callers know."""
    try:
        yield
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            raise FileNotFoundError(f"not stored: {name}") from error
        raise StorageAway(str(error)) from error
    except BotoCoreError as error:
        raise StorageAway(str(error)) from error


def _client_config(endpoint_url: str | None) -> Config:
    """Of other makes than Amazon's, many know no bucket in the host name and no checksums in a trailer."""
    patience: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 30, "max_pool_connections": 50}
    patience["retries"] = {"mode": "standard", "total_max_attempts": 3}
    if not endpoint_url:
        return Config(**patience)
    return Config(
        **patience,
        s3={"addressing_style": "path"},
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
