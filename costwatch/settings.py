"""Every setting of Costwatch, read once from the environment (and `.env`), with its default and unit.

`docs/reference/settings.md` describes each of them; `.env.example` lists them.
"""

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(BASE_DIR / ".env", overwrite=False)

# --- Kind of installation -----------------------------------------------------------------------
COSTWATCH_ENV = env.str("COSTWATCH_ENV", "development")
if COSTWATCH_ENV not in ("development", "production"):
    raise ImproperlyConfigured(f"COSTWATCH_ENV is {COSTWATCH_ENV!r}; it must be 'development' or 'production'.")
PRODUCTION = COSTWATCH_ENV == "production"
DEBUG = env.bool("DEBUG", False)

# Where Costwatch keeps its own files: the SQLite database, the spool, the embedded broker.
DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "var")))

DATA_DIR.mkdir(parents=True, exist_ok=True)

SECRET_KEY = env.str("SECRET_KEY", "")
if not SECRET_KEY:
    if PRODUCTION:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. In production Costwatch needs one of its own: "
            "python -c 'import secrets; print(secrets.token_urlsafe(50))' makes one."
        )
    SECRET_KEY = "development-only-" + "0" * 50  # never used in production: see above

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]", "testserver"])

# --- Applications -------------------------------------------------------------------------------
INSTALLED_APPS = [
    "costwatch.accounts",
    "tracking",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "costwatch.urls"
WSGI_APPLICATION = "costwatch.wsgi.application"
ASGI_APPLICATION = "costwatch.asgi.application"
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
            ]
        },
    }
]
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Database -----------------------------------------------------------------------------------
# How long a writer waits for SQLite's write lock, in seconds.
SQLITE_TIMEOUT_S = env.float("SQLITE_TIMEOUT_S", 5.0)


def _database(url: str) -> dict:
    config = environ.Env.db_url_config(url)
    config.setdefault("TEST", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        # IMMEDIATE: a transaction takes the write lock when it begins, so that it waits instead of failing half-way.
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": SQLITE_TIMEOUT_S,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;",
        }
    elif config["ENGINE"] == "django.db.backends.postgresql":
        config["CONN_HEALTH_CHECKS"] = True
        config["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE_S", 60)
        config.setdefault("OPTIONS", {}).setdefault("connect_timeout", 1)
    else:
        raise ImproperlyConfigured(f"DATABASE_URL names {config['ENGINE']}; Costwatch runs on sqlite and postgres.")
    return config


DATABASES = {"default": _database(env.str("DATABASE_URL", f"sqlite:///{DATA_DIR / 'costwatch.sqlite3'}"))}
DATABASE_ROUTERS = ["tracking.routers.LedgerRouter"]
# The alias the ledger table lives on. Every other table lives on `default`.
LEDGER_DATABASE = "default"

# --- Time ---------------------------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", "UTC")  # days, weeks and months of reports are those of this zone
LANGUAGE_CODE = "en-us"
USE_I18N = False

# --- Recording ----------------------------------------------------------------------------------
SPOOL_DIR = Path(env.str("SPOOL_DIR", str(DATA_DIR / "spool")))  # a persistent folder, shared by all processes of a host
SPOOL_MAX_MB = env.int("SPOOL_MAX_MB", 512)  # over this, new events are refused, counted and logged
RECORDER_BATCH_SIZE = env.int("RECORDER_BATCH_SIZE", 500)  # events in one write transaction
RECORDER_INTERVAL_S = env.float("RECORDER_INTERVAL_S", 0.2)  # the longest an event waits for its batch while the database answers

# --- Web ----------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "costwatch" / "static"]
