from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from chat.models import User


@pytest.fixture
def media(tmp_path: Path, settings: Settings) -> Path:
    """A storage of the test's own."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"


@pytest.fixture
def alice(db: None) -> User:
    """She owns the files."""
    return User.objects.create_user("alice")


@pytest.fixture
def charlie(db: None) -> User:
    """A stranger to her."""
    return User.objects.create_user("charlie")
