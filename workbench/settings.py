"""Settings, from the environment. docs/settings.md lists every WORKBENCH_ variable."""

from __future__ import annotations

import secrets
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from sessions.exceptions import InvalidValue
from sessions.kernels.limits import (
    Limits,
    default_memory_bytes,
    machine_memory_bytes,
    parse_count,
    parse_size,
)
from sessions.kernels.policy import Network

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def _network() -> Network:
    text = env("WORKBENCH_SESSION_NETWORK", default="none")
    try:
        return Network(text)
    except ValueError:
        raise ImproperlyConfigured(
            f"WORKBENCH_SESSION_NETWORK is {text!r}; it is none, allowed or host."
        ) from None


# --- Where things are -----------------------------------------------------------------------

# Everything the server writes: database, workspaces, sockets, the secret key.
WORKBENCH_DATA_DIR = Path(env("WORKBENCH_DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
WORKBENCH_HOST = env("WORKBENCH_HOST", default="127.0.0.1")
WORKBENCH_PORT = env.int("WORKBENCH_PORT", default=8000)
# The same application once more, where the documented Azure curl lines point. None: off.
WORKBENCH_AZURE_PORT = (
    int(port) if (port := env("WORKBENCH_AZURE_PORT", default="6000").strip()) else None
)

# --- Kernels --------------------------------------------------------------------------------

# How verbs reach the host that owns a session: "local" (a host process) or "inline" (this one).
WORKBENCH_ENGINE = env("WORKBENCH_ENGINE", default="local")
# "auto": contain code wherever the machine can. "off": do not.
WORKBENCH_SANDBOX = env("WORKBENCH_SANDBOX", default="auto")
# Live sessions at once, over all owners.
WORKBENCH_MAX_SESSIONS = env.int("WORKBENCH_MAX_SESSIONS", default=200)
# A session nobody used for so long ends. 0: never.
WORKBENCH_IDLE_TIMEOUT_SECONDS = env.int("WORKBENCH_IDLE_TIMEOUT_SECONDS", default=1800)
# What is known of a session that has ended is deleted after so many days. 0: never.
WORKBENCH_HISTORY_DAYS = env.int("WORKBENCH_HISTORY_DAYS", default=90)
# What the host calls when code may have changed a session's files.
WORKBENCH_REFRESH_FILES = "files.operations.refresh"
# The environment whose kernelspecs come first; its Python runs the default kernel.
WORKBENCH_KERNEL_PREFIX = Path(
    env("WORKBENCH_KERNEL_PREFIX", default=str(BASE_DIR / ".venv-kernels"))
)
# Whether Python kernels are forked; otherwise each is started by itself.
WORKBENCH_FORK_KERNELS = env.bool("WORKBENCH_FORK_KERNELS", default=True)
# Modules that Python kernels have imported already when they start; those not there are left out.
WORKBENCH_PREIMPORT = env.list(
    "WORKBENCH_PREIMPORT", default=["numpy", "pandas", "matplotlib.pyplot"]
)
# Kernels that are kept waiting for a session; each takes some 30 MB.
WORKBENCH_WARM_KERNELS = env.int(
    "WORKBENCH_WARM_KERNELS", default=max(0, min(4, machine_memory_bytes() // 1024**3))
)
# "none", "allowed" (for sessions that ask) or "host": the network of the machine.
WORKBENCH_SESSION_NETWORK = _network()
# Bytes of output kept of one execution, the first half and the last.
WORKBENCH_MAX_OUTPUT_BYTES = env.int("WORKBENCH_MAX_OUTPUT_BYTES", default=10 * 1024 * 1024)
# Bytes of one uploaded file.
WORKBENCH_MAX_UPLOAD_BYTES = env.int("WORKBENCH_MAX_UPLOAD_BYTES", default=128 * 1024 * 1024)
# Bytes of a request's body: one such file and what multipart wraps it in, and then some.
WORKBENCH_MAX_BODY_BYTES = env.int(
    "WORKBENCH_MAX_BODY_BYTES", default=WORKBENCH_MAX_UPLOAD_BYTES + 16 * 1024 * 1024
)


def _limits() -> Limits:
    """What one session may use; a session may ask for less. "none": no limit."""
    try:
        limits = Limits(
            memory_bytes=parse_size(
                env("WORKBENCH_SESSION_MEMORY", default=str(default_memory_bytes()))
            ),
            processes=parse_count(env("WORKBENCH_SESSION_PROCESSES", default="256")),
            open_files=parse_count(env("WORKBENCH_SESSION_OPEN_FILES", default="1024")),
            file_bytes=parse_size(env("WORKBENCH_SESSION_FILE_SIZE", default="2g")),
            workspace_bytes=parse_size(env("WORKBENCH_SESSION_WORKSPACE", default="5g")),
            tmp_bytes=parse_size(env("WORKBENCH_SESSION_TMP", default="512m")),
            cpu_weight=env.int("WORKBENCH_SESSION_CPU_WEIGHT", default=100),
        )
        limits.check()
    except (InvalidValue, ValueError) as error:
        raise ImproperlyConfigured(f"A WORKBENCH_SESSION_ setting is wrong: {error}") from error
    return limits


WORKBENCH_SESSION_LIMITS = _limits()


# --- Security -------------------------------------------------------------------------------


def _secret_key() -> str:
    """The key from the environment, or one made once and kept in the data directory."""
    if key := str(env("WORKBENCH_SECRET_KEY", default="")):
        return key
    path = WORKBENCH_DATA_DIR / "secret-key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        WORKBENCH_DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50))
        return path.read_text().strip()


SECRET_KEY = _secret_key()
DEBUG = env.bool("WORKBENCH_DEBUG", default=False)
# A browser is told another site's name for this address (DNS rebinding): only our own names.
ALLOWED_HOSTS = env.list(
    "WORKBENCH_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", WORKBENCH_HOST]
)
# Whence outputs may load scripts, pictures and data, as a Content-Security-Policy names sources.
# They run in a frame of no origin: they reach nothing of ours, wherever they come from.
WORKBENCH_OUTPUT_SOURCES = env.str("WORKBENCH_OUTPUT_SOURCES", default="https:").split()
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SAMESITE = "Lax"

# --- Application ----------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "channels",
    "sessions",
    "files",
    "workbench",
]
MIDDLEWARE = [
    "workbench.middleware.Security",
    "workbench.static.StaticFilesMiddleware",
    "workbench.middleware.Sessions",
    "workbench.middleware.Common",
    "workbench.middleware.Csrf",
    "workbench.middleware.Authentication",
    "workbench.middleware.Messages",
    "workbench.middleware.FrameOptions",
]
ROOT_URLCONF = "workbench.urls"
ASGI_APPLICATION = "workbench.asgi.application"
# The documented contracts have no trailing slashes, and a redirect would lose a POST's body.
APPEND_SLASH = False
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
REST_FRAMEWORK = {
    # The faces decide who is asking in workbench/access.py; none of them takes forms.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "workbench.errors.exception_handler",
}
# A JSON body with code in it; files are streamed and have their own limit.
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024

# --- Database -------------------------------------------------------------------------------

_DATABASE_URL = env(
    "WORKBENCH_DATABASE_URL", default=f"sqlite:///{WORKBENCH_DATA_DIR / 'workbench.sqlite3'}"
)
DATABASES = {"default": environ.Env.db_url_config(_DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # Readers never wait for the writer, nor it for them. The first comes before the rest: it
        # lets the file of a new database shrink when much was deleted.
        "init_command": (
            "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        ),
        # Take the write lock when a transaction begins: no upgrade from read to write can fail.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds to wait for another writer
    }
    # A file, as in production: a database in memory knows neither WAL nor waiting.
    DATABASES["default"]["TEST"] = {"NAME": str(WORKBENCH_DATA_DIR / "test.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Static files ---------------------------------------------------------------------------

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = WORKBENCH_DATA_DIR / "static"
# Serve from the sources as well: `make run` needs no collectstatic.
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "workbench.assets.VersionedStorage"},
}

# --- The rest -------------------------------------------------------------------------------

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False
LOGIN_URL = "admin:login"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env("WORKBENCH_LOG_LEVEL", default="INFO")},
    "loggers": {
        "daphne": {"level": "WARNING"},
        # A refused request is the client's affair; its answer says why.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "django.channels.server": {"level": "WARNING"},
    },
}
