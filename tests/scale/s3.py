"""An S3 on a free port of this machine, as a process of its own: moto's, which keeps objects in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from tests.house.services import Service, free_port
from tests.house.serving import ROOT

BUCKET = "chat-files"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


class S3(Service):
    ready = "Running on http"

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], cwd=ROOT)

    @property
    def variables(self) -> dict[str, str]:
        return {"S3_BUCKET": BUCKET, "S3_ENDPOINT_URL": self.url, **KEYS}

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name=KEYS["AWS_DEFAULT_REGION"],
        )

    def make_bucket(self) -> None:
        self.client().create_bucket(Bucket=BUCKET)

    def stored(self) -> set[str]:
        listed = self.client().list_objects_v2(Bucket=BUCKET)
        return {found["Key"] for found in listed.get("Contents", [])}


@contextmanager
def s3_server() -> Iterator[S3]:
    server = S3()
    try:
        server.make_bucket()
        yield server
    finally:
        server.stop()
