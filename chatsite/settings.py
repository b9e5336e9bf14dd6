"""Settings: all from environment variables and an optional `.env`; safe, or the start is refused.

DEVELOPMENT is the default and serves loopback only. Everything else needs ENVIRONMENT=production,
which asks for SECRET_KEY and ALLOWED_HOSTS.
"""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from chatsite import scale

BASE_DIR = Path(__file__).resolve().parent.parent


def number(name: str, default: int, at_least: int = 0) -> int:
    value = env.str(name, str(default))
    if not value.isascii() or not value.isdigit() or int(value) < at_least:
        least = f" of at least {at_least}" if at_least else ""
        raise ImproperlyConfigured(f"{name} is {value!r}. Set it to a whole number{least}, such as {default}.")
    return int(value)


env = environ.Env()
DOTENV = Path(env.str("DOTENV", str(BASE_DIR / ".env")))
if DOTENV.is_file():
    env.read_env(DOTENV)

ENVIRONMENT = env.str("ENVIRONMENT", "development")
if ENVIRONMENT not in ("development", "production"):
    raise ImproperlyConfigured(f"ENVIRONMENT is {ENVIRONMENT!r}. Set it to development or production.")
PRODUCTION = ENVIRONMENT == "production"

DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / ".data"))).absolute()
try:
    DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(
        f"DATA_DIR={DATA_DIR} cannot be made ({error.strerror}). Set it to a folder that this account may write to."
    ) from error


HOW_TO_MAKE_A_KEY = 'python3 -c "import secrets; print(secrets.token_urlsafe(64))"'


def development_secret_key() -> str:
    """A key made on the first start and kept, so that sessions survive a restart."""
    path = DATA_DIR / "secret_key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(64))
    return path.read_text().strip()


SECRET_KEY = env.str("SECRET_KEY", "")
if not SECRET_KEY:
    if PRODUCTION:
        raise ImproperlyConfigured(
            f"SECRET_KEY is not set. Outside development, set it to a long random string: {HOW_TO_MAKE_A_KEY}"
        )
    SECRET_KEY = development_secret_key()
if PRODUCTION and (len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 5):
    raise ImproperlyConfigured(f"SECRET_KEY is easy to guess. Set it to a long random string: {HOW_TO_MAKE_A_KEY}")

DEBUG = env.bool("DEBUG", False)
if DEBUG and PRODUCTION:
    raise ImproperlyConfigured(
        "DEBUG=1 shows settings and code to strangers. Unset it, or use ENVIRONMENT=development."
    )

HOST = env.str("HOST", "127.0.0.1")
PORT = number("PORT", 8000)
if PORT > 65535:
    raise ImproperlyConfigured(f"PORT is {PORT}. Set it to a number up to 65535.")
LOOPBACK = ("127.0.0.1", "localhost", "::1")

ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=[])
if not ALLOWED_HOSTS:
    if PRODUCTION:
        raise ImproperlyConfigured(
            "ALLOWED_HOSTS is not set. Set it to the host names people use, such as chat.example.org"
        )
    ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
if PRODUCTION and "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS=* would let any web site open a socket here in the name of whoever visits it. "
        "Set it to the host names people use, such as chat.example.org"
    )
if not PRODUCTION and HOST not in LOOPBACK:
    raise ImproperlyConfigured(
        f"HOST={HOST} would serve a development set-up to the network. "
        "Set ENVIRONMENT=production, SECRET_KEY and ALLOWED_HOSTS first, or leave HOST at 127.0.0.1."
    )
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Where people reach the chat, for links that are printed. Empty: http://HOST:PORT
PUBLIC_URL = env.str("PUBLIC_URL", "").rstrip("/")
if PUBLIC_URL and not PUBLIC_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured(
        f"PUBLIC_URL is {PUBLIC_URL!r}. Set it to a whole address, such as https://chat.example.org"
    )
if not PUBLIC_URL and PRODUCTION:
    PUBLIC_URL = f"https://{ALLOWED_HOSTS[0].lstrip('.')}"

INSTALLED_APPS = [
    "chat",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "chatsite.urls"
ASGI_APPLICATION = "chatsite.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# One process or many: all three are optional, and each is of use without the others.

DATABASES = {
    "default": scale.database(
        env.str("DATABASE_URL", f"sqlite:///{DATA_DIR / 'chat.sqlite3'}"), pool_size=number("DATABASE_POOL_SIZE", 8)
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Empty: this process is the only one that hears and mirrors what happens in it.
REDIS_URL = env.str("REDIS_URL", "")
if REDIS_URL:
    scale.check_redis(REDIS_URL)
CACHES = {"default": scale.cache(REDIS_URL)}
CHANNEL_LAYERS = {"default": scale.channel_layer(REDIS_URL)}

# People

AUTH_USER_MODEL = "chat.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SIGNUP_OPEN = env.bool("SIGNUP_OPEN", False)
SIGNIN_LINK_SECONDS = number("SIGNIN_LINK_SECONDS", 24 * 3600)
LOGIN_REDIRECT_URL = "/"
LOGIN_URL = "account_login"
ACCOUNT_ADAPTER = "chat.web.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_EMAIL_NOTIFICATIONS = False

# A model on this machine, for `serve --local`. Empty: SmolLM2, which comes with the extra.

LOCAL_MODEL = env.str("LOCAL_MODEL", "")
LOCAL_CONTEXT = number("LOCAL_CONTEXT", 8192)

# Files

MEDIA_ROOT = DATA_DIR / "media"
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": scale.file_storage(env.str("S3_BUCKET", ""), env.str("S3_ENDPOINT_URL", "")),
    "staticfiles": {"BACKEND": "chatsite.static.HashedStaticFiles"},
}
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_MAX_BYTES = number("FILE_MAX_MB", 50) * 1024 * 1024
FILE_SLICE_BYTES = 1024 * 1024
# What one person may keep in all, and how many files one question may carry.
FILES_PER_PERSON_BYTES = number("FILES_PER_PERSON_MB", 2000, at_least=1) * 1024 * 1024
FILES_PER_TURN = number("FILES_PER_TURN", 20, at_least=1)
# Days after which files, and conversations without a new question, are deleted, here and at the provider. 0: never.
FILES_KEPT_DAYS = number("FILES_KEPT_DAYS", 0)
CONVERSATIONS_KEPT_DAYS = number("CONVERSATIONS_KEPT_DAYS", 0)
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

# Safety

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "frame-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}
SECURE_REFERRER_POLICY = "same-origin"
SESSION_ENGINE = "chatsite.sessions"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 30 * 24 * 3600
BEHIND_PROXY = env.bool("BEHIND_PROXY", False)
if BEHIND_PROXY:
    # Believed only when asked for: without a proxy that overwrites them, anybody can send these headers.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    ALLAUTH_TRUSTED_PROXY_COUNT = 1
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", PRODUCTION)
if PRODUCTION:
    SECURE_HSTS_SECONDS = number("SECURE_HSTS_SECONDS", 365 * 24 * 3600)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# Language and time

LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True

# What the operator reads

LOG_LEVEL = env.str("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in logging.getLevelNamesMapping():
    raise ImproperlyConfigured(f"LOG_LEVEL is {LOG_LEVEL!r}. Set it to DEBUG, INFO, WARNING or ERROR.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "chat": {"level": LOG_LEVEL},
        # Replaces Django's own handlers, which would print each line twice.
        "django": {"handlers": [], "level": "WARNING"},
        # A page that is not there is the browser's affair; what broke is ours.
        "django.request": {"level": "ERROR"},
        "django.channels.server": {"level": "WARNING"},
    },
}

# The chat

# Which variables a provider made in the admin may name as its key: names, or patterns with *. The value goes to an
# address that staff choose, so nothing else of this server's secrets may be among them.
PROVIDER_KEY_VARIABLES = tuple(
    name.strip() for name in env.str("PROVIDER_KEY_VARIABLES", "*_API_KEY").split(",") if name.strip()
)
# And for which scopes such a provider is sent this server's tokens of Entra ID. A token for another one, such as
# https://management.azure.com/.default, would let whoever receives it do there what this server's identity may do.
PROVIDER_TOKEN_SCOPES = tuple(
    scope.strip()
    for scope in env.str(
        "PROVIDER_TOKEN_SCOPES", "https://cognitiveservices.azure.com/.default,https://ai.azure.com/.default"
    ).split(",")
    if scope.strip()
)

# What the prices of all deployments are in, and so what answers cost.
CURRENCY = env.str("CURRENCY", "USD").strip().upper()
if not (len(CURRENCY) == 3 and CURRENCY.isascii() and CURRENCY.isalpha()):
    raise ImproperlyConfigured(f"CURRENCY is {CURRENCY!r}. Set it to a code of three letters, such as USD or EUR.")

# How many answers may be in the making at once: for one person, and in one process.
RUNNING_PER_PERSON = number("RUNNING_PER_PERSON", 8, at_least=1)
RUNNING_PER_PROCESS = number("RUNNING_PER_PROCESS", 300, at_least=1)

TURNS_PER_PAGE = 20
CONVERSATIONS_PER_PAGE = 40
QUESTION_MAX_CHARACTERS = 200_000
