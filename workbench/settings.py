"""Settings, from the environment. docs/settings.md lists every WORKBENCH_ variable."""

from __future__ import annotations

import secrets
from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

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
# What the host calls when code may have changed a session's files.
WORKBENCH_REFRESH_FILES = "files.operations.refresh"
# The environment whose kernelspecs come first; its Python runs the default kernel.
WORKBENCH_KERNEL_PREFIX = Path(
    env("WORKBENCH_KERNEL_PREFIX", default=str(BASE_DIR / ".venv-kernels"))
)
# Bytes of output kept of one execution, the first half and the last.
WORKBENCH_MAX_OUTPUT_BYTES = env.int("WORKBENCH_MAX_OUTPUT_BYTES", default=10 * 1024 * 1024)
# Bytes of one uploaded file.
WORKBENCH_MAX_UPLOAD_BYTES = env.int("WORKBENCH_MAX_UPLOAD_BYTES", default=128 * 1024 * 1024)
# Bytes of a request's body: one such file and what multipart wraps it in, and then some.
WORKBENCH_MAX_BODY_BYTES = env.int(
    "WORKBENCH_MAX_BODY_BYTES", default=WORKBENCH_MAX_UPLOAD_BYTES + 16 * 1024 * 1024
)


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
        # Readers never wait for the writer, nor it for them.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
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
