"""Settings, from the environment. docs/settings.md lists every WORKBENCH_ variable."""

from __future__ import annotations

import os
import platform
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from sessions.kernels.limits import (
    LEAST,
    MAX_WEIGHT,
    NORMAL_WEIGHT,
    Limits,
    default_memory_bytes,
    machine_memory_bytes,
)
from sessions.kernels.policy import Network
from sessions.kernels.quotas import Quota
from workbench.environment import MAX_PORT, Environment, is_loopback

BASE_DIR = Path(__file__).resolve().parent.parent
_KIB, _MIB, _GIB = 1024, 1024**2, 1024**3
_YEAR_SECONDS = 365 * 24 * 60 * 60
env = Environment(os.environ)

# --- Where things are -----------------------------------------------------------------------

# Everything the server writes: database, workspaces, sockets, the secret key.
WORKBENCH_DATA_DIR = env.directory(
    "WORKBENCH_DATA_DIR", BASE_DIR / "var", must_exist=False
).resolve()
WORKBENCH_HOST = env.text("WORKBENCH_HOST", "127.0.0.1")
# Who may use the server: anybody who reaches it ("open"), or who has a key or an account ("closed").
# "auto": open if only this machine can reach it.
WORKBENCH_ACCESS = env.choice("WORKBENCH_ACCESS", "auto", ["auto", "open", "closed"])
WORKBENCH_IS_OPEN = WORKBENCH_ACCESS == "open" or (
    WORKBENCH_ACCESS == "auto" and is_loopback(WORKBENCH_HOST)
)
WORKBENCH_PORT = env.integer("WORKBENCH_PORT", 8000, least=1, most=MAX_PORT)
# The same application once more, where the documented Azure curl lines point. None: off.
WORKBENCH_AZURE_PORT = env.optional_port("WORKBENCH_AZURE_PORT", 6000)

# --- Kernels --------------------------------------------------------------------------------

# How verbs reach the host that owns a session: "local" (a host process), "ray" (one on each node of
# a cluster) or "inline" (this one).
WORKBENCH_ENGINE = env.choice("WORKBENCH_ENGINE", "local", ["local", "ray", "inline"])
# The Ray cluster that this process joins: "auto", the one that this machine is a node of.
WORKBENCH_RAY_ADDRESS = env.text("WORKBENCH_RAY_ADDRESS", "auto")
# What sessions say of where they are; stays the same when a machine comes back.
WORKBENCH_HOST_NAME = env.text("WORKBENCH_HOST_NAME", platform.node() or "local")
# "auto": contain code wherever the machine can. "off": do not.
WORKBENCH_SANDBOX = env.choice("WORKBENCH_SANDBOX", "auto", ["auto", "off"])
# Live sessions at once, over all owners.
WORKBENCH_MAX_SESSIONS = env.integer("WORKBENCH_MAX_SESSIONS", 200, least=1, most=100_000)
# A session nobody used for so long ends. 0: never.
WORKBENCH_IDLE_TIMEOUT_SECONDS = env.integer(
    "WORKBENCH_IDLE_TIMEOUT_SECONDS", 1800, least=0, most=10 * _YEAR_SECONDS, unit="seconds"
)
# What is known of a session that has ended is deleted after so many days. 0: never.
WORKBENCH_HISTORY_DAYS = env.integer(
    "WORKBENCH_HISTORY_DAYS", 90, least=0, most=36_500, unit="days"
)
# How long it is kept who did what. 0: for ever.
WORKBENCH_AUDIT_DAYS = env.integer("WORKBENCH_AUDIT_DAYS", 365, least=0, most=36_500, unit="days")
# What looks after sessions' files for the host.
WORKBENCH_HOST_FILES = "files.at_the_host.HostFiles"
# Whether web processes read and write files through the host, whose disk they do not see.
WORKBENCH_FILES_THROUGH_HOST = env.flag(
    "WORKBENCH_FILES_THROUGH_HOST", default=WORKBENCH_ENGINE == "ray"
)
# The environment whose kernelspecs come first; its Python runs the default kernel.
WORKBENCH_KERNEL_PREFIX = env.directory(
    "WORKBENCH_KERNEL_PREFIX", BASE_DIR / ".venv-kernels", must_exist=True
)
# Whether Python kernels are forked; otherwise each is started by itself.
WORKBENCH_FORK_KERNELS = env.flag("WORKBENCH_FORK_KERNELS", default=True)
# Modules that Python kernels have imported already when they start; those not there are left out.
WORKBENCH_PREIMPORT = env.words(
    "WORKBENCH_PREIMPORT",
    ["numpy", "pandas", "matplotlib.pyplot"],
    separator=",",
    rule="be names of Python modules with commas between",
    accepts=lambda module: all(part.isidentifier() for part in module.split(".")),
)
# Kernels that are kept waiting for a session; each takes some 30 MB.
WORKBENCH_WARM_KERNELS = env.integer(
    "WORKBENCH_WARM_KERNELS", max(0, min(4, machine_memory_bytes() // _GIB)), least=0, most=1000
)
# "none", "allowed" (for sessions that ask) or "host": the network of the machine.
WORKBENCH_SESSION_NETWORK = Network(
    env.choice("WORKBENCH_SESSION_NETWORK", Network.NONE, list(Network))
)
# The numbers of the GPUs that sessions may ask for; each is one session's at a time.
WORKBENCH_GPUS = env.gpus("WORKBENCH_GPUS")
# What sessions may ask of their machine, by name and value.
WORKBENCH_LABELS = env.labels("WORKBENCH_LABELS")
# Bytes of output kept of one execution, the first half and the last.
WORKBENCH_MAX_OUTPUT_BYTES = env.size("WORKBENCH_MAX_OUTPUT_BYTES", 10 * _MIB, least=_KIB)
# Bytes of one uploaded file.
WORKBENCH_MAX_UPLOAD_BYTES = env.size("WORKBENCH_MAX_UPLOAD_BYTES", 128 * _MIB, least=1)
# Bytes of a request's body: one such file and what multipart wraps it in, and then some.
WORKBENCH_MAX_BODY_BYTES = env.size(
    "WORKBENCH_MAX_BODY_BYTES", WORKBENCH_MAX_UPLOAD_BYTES + 16 * _MIB, least=_KIB
)
# What one session may use; a session may ask for less.
WORKBENCH_SESSION_LIMITS = Limits(
    memory_bytes=env.size_limit(
        "WORKBENCH_SESSION_MEMORY", default_memory_bytes(), least=LEAST["memory_bytes"]
    ),
    processes=env.count_limit(
        "WORKBENCH_SESSION_PROCESSES", 256, least=LEAST["processes"], most=2**22
    ),
    open_files=env.count_limit(
        "WORKBENCH_SESSION_OPEN_FILES", 1024, least=LEAST["open_files"], most=2**20
    ),
    file_bytes=env.size_limit("WORKBENCH_SESSION_FILE_SIZE", 2 * _GIB, least=LEAST["file_bytes"]),
    workspace_bytes=env.size_limit(
        "WORKBENCH_SESSION_WORKSPACE", 5 * _GIB, least=LEAST["workspace_bytes"]
    ),
    tmp_bytes=env.size_limit("WORKBENCH_SESSION_TMP", 512 * _MIB, least=LEAST["tmp_bytes"]),
    cpu_weight=env.integer(
        "WORKBENCH_SESSION_CPU_WEIGHT", NORMAL_WEIGHT, least=LEAST["cpu_weight"], most=MAX_WEIGHT
    ),
)
# What each account may use, unless the admin says otherwise for it; sessions without an owner count
# as one account.
WORKBENCH_OWNER_QUOTA = Quota(
    sessions=env.count_limit("WORKBENCH_OWNER_SESSIONS", None, least=1, most=100_000),
    executions=env.count_limit("WORKBENCH_OWNER_EXECUTIONS", None, least=1, most=10**9),
    storage_bytes=env.size_limit("WORKBENCH_OWNER_STORAGE", None, least=_MIB),
    execution_seconds=env.count_limit("WORKBENCH_OWNER_SECONDS", None, least=1, most=10**9),
    output_bytes=env.size_limit("WORKBENCH_OWNER_OUTPUT", None, least=_KIB),
)

# --- Security -------------------------------------------------------------------------------


def _secret_key() -> str:
    """The key from the environment, or one made once and kept in the data directory."""
    if key := env.text("WORKBENCH_SECRET_KEY", "", may_be_empty=True):
        return key
    path = WORKBENCH_DATA_DIR / "secret-key"
    try:
        if not path.exists():
            WORKBENCH_DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=WORKBENCH_DATA_DIR) as new:
                new.write(secrets.token_urlsafe(50))
                new.flush()
                with suppress(FileExistsError):  # another process was faster
                    os.link(new.name, path)
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"WORKBENCH_DATA_DIR is {str(WORKBENCH_DATA_DIR)!r}; it must name a directory that "
            f"the server may write to ({error.strerror})."
        ) from error


SECRET_KEY = _secret_key()
DEBUG = env.flag("WORKBENCH_DEBUG", default=False)
DEFAULT_EXCEPTION_REPORTER_FILTER = "workbench.debugging.SettingsFilter"
# A browser is told another site's name for this address (DNS rebinding): only our own names.
ALLOWED_HOSTS = env.words(
    "WORKBENCH_ALLOWED_HOSTS",
    ["localhost", "127.0.0.1", "[::1]", WORKBENCH_HOST],
    separator=",",
    rule="be host names, without scheme and port, with commas between",
    accepts=lambda host: bool(re.fullmatch(r"[\w.*-]+|\[[0-9a-fA-F:.]+\]", host)),
)
# Whence outputs may load scripts, pictures and data, as a Content-Security-Policy names sources.
# They run in a frame of no origin: they reach nothing of ours, wherever they come from.
WORKBENCH_OUTPUT_SOURCES = env.words(
    "WORKBENCH_OUTPUT_SOURCES",
    ["https:"],
    separator=None,
    rule="be sources of a Content-Security-Policy with spaces between",
    accepts=lambda source: source.isascii() and not set(source) & {";", ","},
)
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
SESSION_ENGINE = "workbench.access.logins"
SESSION_COOKIE_SAMESITE = "Lax"
# Whether browsers come over https, to a proxy that says so; then cookies go no other way.
WORKBENCH_HTTPS = env.flag("WORKBENCH_HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = WORKBENCH_HTTPS
# Only a proxy can be believed here: without one, anybody may send this header.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if WORKBENCH_HTTPS else None
# Whether clients' addresses are those that a proxy adds to X-Forwarded-For.
WORKBENCH_FORWARDED_FOR = env.flag("WORKBENCH_FORWARDED_FOR", default=False)
# For so long browsers that have been here refuse to come over http. 0: they are not told to.
SECURE_HSTS_SECONDS = env.integer(
    "WORKBENCH_HSTS_SECONDS", 0, least=0, most=10 * _YEAR_SECONDS, unit="seconds"
)
# These look for Django's middleware by its name. Ours derives from it: workbench/middleware.py.
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002", "security.W003"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "sessions"
LOGOUT_REDIRECT_URL = "login"

# --- Application ----------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "sessions",
    "files",
    "workbench",
    "workbench.access",
]
MIDDLEWARE = [
    "workbench.middleware.Security",
    "workbench.static.StaticFilesMiddleware",
    "workbench.middleware.Sessions",
    "workbench.middleware.Common",
    "workbench.access.middleware.Access",
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
    # The faces decide who is asking in workbench/access; none of them takes forms.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "workbench.errors.exception_handler",
}
# What the schema of the native API says beyond the operations.
SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.0",
    "DEFAULT_GENERATOR_CLASS": "workbench.api.schema.Generator",
    "POSTPROCESSING_HOOKS": [],
    "TITLE": "Workbench",
    "DESCRIPTION": (
        "Live Jupyter kernels: sessions, their notebooks and their files. Times are RFC 3339 in UTC. "
        "Every error is `application/problem+json`. Parameters and fields that are not named here "
        "are refused, and nothing is done."
    ),
    "VERSION": "1",
    "LICENSE": {"name": "MIT"},
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer", "description": "An API key: `wb_…`."}
        }
    },
    "TAGS": [
        {"name": "Sessions", "description": "Sessions and the kernels they may have."},
        {"name": "Executions", "description": "Code and commands that run in a session."},
        {"name": "Events", "description": "The log of a session: all that happened in it."},
        {"name": "Notebooks", "description": "A session's notebook, cell by cell or as a file."},
        {"name": "Files", "description": "The files of a live session, in its workspace."},
        {"name": "Keys", "description": "The caller's own API keys; on a closed server."},
        {"name": "Sharing", "description": "Links that let others into one session."},
        {"name": "Schema", "description": "This description."},
    ],
}
# A JSON body with code in it; files are streamed and have their own limit.
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024

# --- Database -------------------------------------------------------------------------------

DATABASES = {
    "default": env.database(
        "WORKBENCH_DATABASE_URL", f"sqlite:///{WORKBENCH_DATA_DIR / 'workbench.sqlite3'}"
    )
}
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
# With PostgreSQL: the most connections that one process has at once.
WORKBENCH_DATABASE_POOL = env.integer("WORKBENCH_DATABASE_POOL", 20, least=2, most=10_000)
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"] |= {
        "ENGINE": "workbench.postgresql",
        # Connections are borrowed for a statement or a transaction: nothing to keep or to check.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
        "OPTIONS": {
            "application_name": "workbench",  # in pg_stat_activity
            "connect_timeout": 5,  # seconds
            # A server that has gone without a word is noticed after half a minute.
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,  # milliseconds
            **DATABASES["default"].get("OPTIONS", {}),
            "pool": {"most": WORKBENCH_DATABASE_POOL},
        },
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- What processes tell each other -------------------------------------------------------------

# None: there is one machine, and one web process.
WORKBENCH_REDIS_URL = env.redis("WORKBENCH_REDIS_URL")
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {}
CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
if WORKBENCH_REDIS_URL:
    # See sessions/engines/wakeups.py, also for why it is not called "default".
    CHANNEL_LAYERS["wakeups"] = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "prefix": "workbench:",
            "hosts": [
                {
                    "address": WORKBENCH_REDIS_URL,
                    "socket_connect_timeout": 2,  # seconds, as below
                    "socket_timeout": 2,
                }
            ],
        },
    }
    # See workbench/access/shared.py.
    CACHES["shared"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": [WORKBENCH_REDIS_URL],
        "KEY_PREFIX": "workbench",
        "OPTIONS": {
            "serializer": "workbench.access.shared.Integers",
            # Somebody waits for it.
            "socket_connect_timeout": 1,
            "socket_timeout": 1,
        },
    }

# --- A cluster ------------------------------------------------------------------------------

if WORKBENCH_ENGINE == "ray":
    if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
        raise ImproperlyConfigured(
            "WORKBENCH_ENGINE is 'ray', which needs a database that all machines reach; "
            "set WORKBENCH_DATABASE_URL to postgres://…"
        )
    if not WORKBENCH_REDIS_URL:
        raise ImproperlyConfigured(
            "WORKBENCH_ENGINE is 'ray', which needs a Redis that all machines reach; "
            "set WORKBENCH_REDIS_URL to redis://…"
        )
    # Ray reads these when it is imported. The first: a web process outlives Ray's head, by a day;
    # otherwise Ray ends it after a minute. The other: who has left a cluster starts none of its own.
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "86400")
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

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
_LOG_LEVEL = env.choice(
    "WORKBENCH_LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
)
_LOG_FORMAT = env.choice("WORKBENCH_LOG_FORMAT", "text", ["text", "json"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "workbench.logs.Text"},
        "json": {"()": "workbench.logs.Json"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": _LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": _LOG_LEVEL},
    "loggers": {
        "daphne": {"level": "WARNING"},
        # A refused request is the client's affair; its answer says why.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "django.channels.server": {"level": "WARNING"},
        # It tells of each process how it is joined.
        "ray": {"level": "ERROR"},
        # A traceback a second while Redis is away; sessions/engines/outages.py says it once.
        "channels_redis": {"level": "CRITICAL"},
    },
}

env.warn_of_unknown()
