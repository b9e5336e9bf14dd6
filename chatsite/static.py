"""Static files with a hash in their name, collected anew only when one of them changed."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from whitenoise.storage import CompressedManifestStaticFilesStorage

_, IMPORTS = CompressedManifestStaticFilesStorage._js_module_import_aggregation_patterns


class HashedStaticFiles(CompressedManifestStaticFilesStorage):
    # Without this, `import "./scroll.js"` in a module would still name the unhashed file. For the
    # product's own modules only: other packages name files in comments that they do not ship.
    patterns = (*CompressedManifestStaticFilesStorage.patterns, ("chat/*.js", IMPORTS))


def collect_if_changed() -> bool:
    """Bring STATIC_ROOT up to date; False when it was."""
    stamp = Path(settings.STATIC_ROOT) / ".sources"
    sources = digest_of_sources()
    if stamp.is_file() and stamp.read_text() == sources:
        return False
    # Cleared first: collectstatic keeps a copy that is newer than its source, which an upgraded
    # package may well be older than.
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    stamp.write_text(sources)
    return True


def digest_of_sources() -> str:
    """Changes when a file comes, goes or differs in size or time, or when what processes them is upgraded."""
    digest = hashlib.sha256(f"{version('django')} {version('whitenoise')}".encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            stat = Path(storage.path(name)).stat()
            digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
