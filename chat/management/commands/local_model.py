"""Serve a model on this machine, for any client of the Responses API. The chat's own comes with `serve --local`."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from chat.management import llamacpp


class Command(BaseCommand):
    help = "Serve a model on this machine at /v1/ until stopped. Without --model: SmolLM2-135M, which comes along."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        llamacpp.add_arguments(parser, settings.LOCAL_MODEL, settings.LOCAL_CONTEXT)

    def handle(self, **options: Any) -> None:
        try:
            llamacpp.run(options)
        except llamacpp.NoModel as refusal:
            raise CommandError(str(refusal)) from refusal
