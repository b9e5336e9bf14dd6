"""Settings of the tests: the product's own, with a data folder that is thrown away.

What the developer's shell says about the product does not reach them, nor the servers that they start.
"""

import atexit
import os
import shutil
import tempfile

OURS = (
    *("ENVIRONMENT", "DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "PUBLIC_URL", "HOST", "PORT"),
    *("DATABASE_URL", "BEHIND_PROXY", "SECURE_", "SIGNUP_OPEN", "SIGNIN_LINK_SECONDS", "FILE_MAX_MB", "LOG_LEVEL"),
    *("TIME_ZONE", "AZURE_OPENAI_", "FOUNDRY_", "OPENAI_", "RESPONSES_", "LOCAL_", "PROVIDER_KEY_"),
    *("DATABASE_POOL_SIZE", "REDIS_URL", "S3_", "AWS_", "RUNNING_PER_", "FILES_", "CONVERSATIONS_KEPT_"),
    "CURRENCY",
)
for name in list(os.environ):
    if name.startswith(OURS):
        del os.environ[name]
os.environ["DOTENV"] = os.devnull
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="responses-chat-tests-")
atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)

# The suite on another database than SQLite; see tests/house/test_on_postgresql.py.
if "TESTS_DATABASE_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["TESTS_DATABASE_URL"]

from chatsite.settings import *  # noqa: E402, F403
from chatsite.settings import DATA_DIR, DATABASES, STATIC_ROOT, STORAGES  # noqa: E402

if os.environ.pop("DATABASE_URL", None) is None:
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The hashed names need collectstatic; the journeys run against it, the other tests need no manifest.
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
STATIC_ROOT.mkdir()
