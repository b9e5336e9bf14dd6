"""Settings of the tests: the product's own, with a data folder that is thrown away."""

import os
import tempfile

os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="responses-chat-tests-")
os.environ["DOTENV"] = os.devnull
for name in list(os.environ):
    if name.startswith(("AZURE_OPENAI_", "OPENAI_", "RESPONSES_")):
        del os.environ[name]

from chatsite.settings import *  # noqa: E402, F403
from chatsite.settings import DATA_DIR, DATABASES, STORAGES  # noqa: E402

DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The hashed names need collectstatic; the journeys run against it, the other tests need no manifest.
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
