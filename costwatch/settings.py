"""Every setting of Costwatch, read once from the environment (and `.env`), with its default and unit.

`docs/reference/settings.md` describes each of them; `.env.example` lists them.
"""

import os
from decimal import Decimal
from pathlib import Path

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from costwatch.environment import Environment
from costwatch.theme import UNFOLD as _THEME

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()
# The file that settings are read from; what is already set in the environment wins. Empty: read none.
if ENV_FILE := os.environ.get("ENV_FILE", str(BASE_DIR / ".env")):
    env.read_env(ENV_FILE, overwrite=False)

# --- Kind of installation -----------------------------------------------------------------------
COSTWATCH_ENV = env.choice("COSTWATCH_ENV", "development", ("development", "production"))
PRODUCTION = COSTWATCH_ENV == "production"
DEBUG = env.flag("DEBUG", False)
if DEBUG and PRODUCTION:
    raise ImproperlyConfigured("DEBUG is on while COSTWATCH_ENV is production; its error pages would show secrets.")

# Where Costwatch keeps its own files: the SQLite database, the spool, the embedded broker.
DATA_DIR = env.folder("DATA_DIR", BASE_DIR / "var", base=BASE_DIR)
try:
    DATA_DIR.mkdir(parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(f"DATA_DIR is {str(DATA_DIR)!r}, which cannot be made: {error.strerror}.") from error

SECRET_KEY = env.str("SECRET_KEY", "")
_PLACEHOLDERS = ("development-only", "django-insecure", "change", "replace", "your-", "secret", "<", "xxx")
if not PRODUCTION:
    SECRET_KEY = SECRET_KEY or "development-only-" + "0" * 50  # refused in production
elif len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 10 or SECRET_KEY.lower().startswith(_PLACEHOLDERS):
    raise ImproperlyConfigured(
        f"SECRET_KEY is {'not set' if not SECRET_KEY else 'too short or a placeholder'}. In production Costwatch "
        "needs a secret of its own, of at least 50 characters: "
        "python -c 'import secrets; print(secrets.token_urlsafe(50))' makes one."
    )

_LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = [h.strip() for h in env.list("ALLOWED_HOSTS", default=[]) if h.strip()]
if PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS is not set. In production it must list the names Costwatch is reached by: costs.example.org,..."
    )
ALLOWED_HOSTS = ALLOWED_HOSTS or _LOCAL_HOSTS

# --- Applications -------------------------------------------------------------------------------
INSTALLED_APPS = [
    "costwatch.apps.CostwatchConfig",
    "costwatch.accounts",
    "tracking",
    "budgets",
    "alerts",
    "unfold.apps.BasicAppConfig",  # the admin's theme: before the admin, whose templates it replaces
    "costwatch.apps.CostwatchAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "costwatch.operations.requests.RequestIdMiddleware",
    "costwatch.operations.heads.HeadMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "costwatch.accounts.middleware.ReaderTimeZoneMiddleware",
    "tracking.middleware.TrackingMiddleware",
    "budgets.http.BudgetMiddleware",
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
                "costwatch.pages.frame.context",
            ],
            "builtins": ["costwatch.pages.filters"],
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Accounts -----------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["costwatch.accounts.backends.CountedBackend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- Database -----------------------------------------------------------------------------------
# How long a writer waits for SQLite's write lock, in seconds.
SQLITE_TIMEOUT_S = env.seconds("SQLITE_TIMEOUT_S", 5.0, minimum=0, maximum=600)
# How long a connection to PostgreSQL is kept open between requests, in seconds.
CONN_MAX_AGE_S = env.whole("CONN_MAX_AGE_S", 60, minimum=0, maximum=86_400, unit="seconds")


def _database() -> dict:
    config = env.database("DATABASE_URL", sqlite_file=DATA_DIR / "costwatch.sqlite3")
    config.setdefault("TEST", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        # IMMEDIATE: a transaction takes the write lock when it begins, so that it waits instead of failing half-way.
        # WAL: readers do not wait for the writer. It needs a local disk; a network share corrupts it.
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": SQLITE_TIMEOUT_S,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;",
        }
        return config
    config["CONN_HEALTH_CHECKS"] = True
    config["CONN_MAX_AGE"] = CONN_MAX_AGE_S
    config.setdefault("OPTIONS", {}).setdefault("connect_timeout", 1)
    return config


DATABASES = {"default": _database()}
DATABASE_ROUTERS = ["tracking.routers.LedgerRouter"]
# The alias the ledger table lives on. Every other table lives on `default`.
LEDGER_DATABASE = "default"

# --- Time ---------------------------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = env.zone("TIME_ZONE", "UTC")  # days, weeks and months of reports are those of this zone
LANGUAGE_CODE = "en-us"
USE_I18N = False
FORMAT_MODULE_PATH = "costwatch.formats"  # of dates where a page names no format of its own

# --- Recording ----------------------------------------------------------------------------------
# A persistent folder, shared by all processes of a host.
SPOOL_DIR = env.folder("SPOOL_DIR", DATA_DIR / "spool", base=BASE_DIR)
# Over this size new events are refused, counted and logged.
SPOOL_MAX_MB = env.whole("SPOOL_MAX_MB", 512, minimum=1, maximum=1_000_000, unit="megabytes")
# Events in one write transaction.
RECORDER_BATCH_SIZE = env.whole("RECORDER_BATCH_SIZE", 500, minimum=1, maximum=10_000, unit="events")
# The longest an event waits for its batch while the database answers.
RECORDER_INTERVAL_S = env.seconds("RECORDER_INTERVAL_S", 0.2, minimum=0.01, maximum=60)

# --- Budgets ------------------------------------------------------------------------------------
# Default hard limits, in USD: for each user and day, and for each analysis. Empty: none.
USER_DAILY_MAX_USD = env.usd("USER_DAILY_MAX_USD")
ANALYSIS_MAX_USD = env.usd("ANALYSIS_MAX_USD")
# Threads, each with a connection of its own, that hold money for callers inside a transaction or on an event loop.
BUDGET_THREADS = env.whole("BUDGET_THREADS", 8, minimum=1, maximum=64, unit="threads")
# What every metered call passes before it is sent.
GATE = "budgets.gate.BudgetGate"
# What happens to calls under a hard limit while the limits cannot be checked.
ON_GATE_FAILURE = env.choice("ON_GATE_FAILURE", "refuse", ("refuse", "allow"))
# What is held for a call whose caller set no maximum of output, where its limit says nothing else.
NO_MAXIMUM_POLICY = env.choice("NO_MAXIMUM_POLICY", "bound", ("bound", "cap", "expect"))
# The least maximum that is written into a request; a budget that does not afford it refuses.
MIN_CAPPED_TOKENS = env.whole("MIN_CAPPED_TOKENS", 256, minimum=16, maximum=1_000_000, unit="tokens")
# What happens to calls under a hard limit whose price is not known; `assume` holds by the two prices below.
UNPRICED_MODELS = env.choice("UNPRICED_MODELS", "refuse", ("refuse", "allow", "assume"))
# USD per million tokens.
ASSUMED_INPUT_USD = env.usd("ASSUMED_INPUT_USD") or Decimal(15)
ASSUMED_OUTPUT_USD = env.usd("ASSUMED_OUTPUT_USD") or Decimal(75)

# --- Jobs in the background ---------------------------------------------------------------------
REDIS_URL = env.redis("REDIS_URL")  # empty: the embedded broker, folders under DATA_DIR
BROKER_DIR = DATA_DIR / "broker"
WORKER_CONCURRENCY = env.whole("WORKER_CONCURRENCY", 1, minimum=1, maximum=256, unit="processes")
CELERY_BROKER_URL = REDIS_URL or "filesystem://"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"visibility_timeout": 3600}
    if REDIS_URL
    else {
        "data_folder_in": str(BROKER_DIR / "queue"),
        "data_folder_out": str(BROKER_DIR / "queue"),
        "control_folder": str(BROKER_DIR / "control"),
    }
)

# --- Brand --------------------------------------------------------------------------------------
# How pages, admin and messages call this installation.
BRAND_NAME = env.str("BRAND_NAME", "").strip() or "Costwatch"
# A file (.svg, .png, .webp, .jpg) or an https address; empty: Costwatch's own.
BRAND_LOGO = env.logo("BRAND_LOGO", base=BASE_DIR)
# The colour of links, buttons and what is chosen; pages make it darker or lighter until it can be read.
BRAND_ACCENT = env.colour("BRAND_ACCENT", "#1f6f5c")

# The admin's theme, under the same name.
UNFOLD = {**_THEME, "SITE_TITLE": BRAND_NAME, "SITE_HEADER": BRAND_NAME}

# --- Web ----------------------------------------------------------------------------------------
HOST = env.str("HOST", "") or "127.0.0.1"  # the address the web server listens on
PORT = env.whole("PORT", 8000, minimum=1, maximum=65_535, unit="a TCP port")
WEB_WORKERS = env.whole("WEB_WORKERS", 1, minimum=1, maximum=64, unit="processes")
WEB_THREADS = env.whole("WEB_THREADS", 8, minimum=1, maximum=256, unit="threads")
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "costwatch" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "costwatch.collected.CollectedFiles"},
}
# What nobody collected is served from where it stands: `manage.py runserver` needs no `collectstatic` before it.
WHITENOISE_USE_FINDERS = not PRODUCTION

# --- Security -----------------------------------------------------------------------------------
# HTTPS only: plain requests are redirected, cookies are sent over HTTPS alone, and browsers are told to stay there.
HTTPS_ONLY = env.flag("HTTPS_ONLY", PRODUCTION)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
# Asked by load balancers and scrapers from inside, over plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
HSTS_SECONDS = env.whole("HSTS_SECONDS", 31_536_000, minimum=0, maximum=63_072_000, unit="seconds")
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS_ONLY
# Preloading is asked for a whole domain and cannot be taken back quickly: its owner's decision, not ours.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
# Behind a proxy that ends TLS: the header in which it says so ("X-Forwarded-Proto"). It must always set or remove it.
PROXY_SSL_HEADER = env.str("PROXY_SSL_HEADER", "")
if PROXY_SSL_HEADER:
    SECURE_PROXY_SSL_HEADER = (f"HTTP_{PROXY_SSL_HEADER.upper().replace('-', '_')}", "https")
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")
X_FRAME_OPTIONS = "DENY"
# Our pages load their own files alone; nothing inline, nothing from elsewhere but a logo that the settings name.
# Tabler draws a few signs as data URLs. The admin's own policy: costwatch/sites.py.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "img-src": [SELF, "data:", *([BRAND_LOGO] if BRAND_LOGO.startswith("https://") else [])],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- Mail, and where alerts go ------------------------------------------------------------------
# The address that people reach Costwatch by: links in messages begin with it.
_NAMED = [host for host in ALLOWED_HOSTS if not host.startswith((".", "*"))]
SITE_URL = env.site(
    "SITE_URL", (f"https://{_NAMED[0]}" if _NAMED else "") if PRODUCTION else f"http://127.0.0.1:{PORT}"
)
# The mail server. Empty: no mail is sent.
vars().update(env.mail("EMAIL_URL"))
EMAIL_TIMEOUT = env.seconds("EMAIL_TIMEOUT_S", 10.0, minimum=1, maximum=120)
# What mail comes from.
_MAIL_DOMAIN = (_NAMED or ["localhost"])[0] if PRODUCTION else "localhost"
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("EMAIL_FROM", "") or f"Costwatch <costwatch@{_MAIL_DOMAIN}>"
# Keys that channels' secrets are encrypted with, newest first. Empty: made up in development; in production no
# channel with a secret can be set up.
ALERT_SECRET_KEYS = env.fernet_keys("ALERT_SECRET_KEYS")
# Host names and networks that webhooks may reach although they are not public, or speak plain HTTP.
ALERT_WEBHOOK_ALLOWED_HOSTS = env.hosts("ALERT_WEBHOOK_ALLOWED_HOSTS")
# Whether every account's webhooks may go there, and not those of staff only: their owners see what answers.
ALERT_WEBHOOK_ALLOWED_FOR_EVERYONE = env.flag("ALERT_WEBHOOK_ALLOWED_FOR_EVERYONE", False)
# Domains of email addresses that every account's channels may write to, besides the account's own address.
ALERT_EMAIL_DOMAINS = env.domains("ALERT_EMAIL_DOMAINS")
# Alerts older than that are deleted, with what is known of their deliveries.
ALERT_KEEP_DAYS = env.whole("ALERT_KEEP_DAYS", 400, minimum=1, maximum=36_500, unit="days")
# Spending that exceeds what is usual by less than this, in USD, is told nobody.
UNUSUAL_MIN_USD = env.usd("UNUSUAL_MIN_USD") or Decimal(5)
# The most calls of one hour that are read from the ledger to know what features and users spend by the hour.
UNUSUAL_MAX_CALLS = env.whole("UNUSUAL_MAX_CALLS", 200_000, minimum=1, maximum=100_000_000, unit="calls")

# --- API ----------------------------------------------------------------------------------------
# How long a login token is accepted.
LOGIN_HOURS = env.whole("LOGIN_HOURS", 10, minimum=1, maximum=8_760, unit="hours")
# Requests in a minute: of one key or account; and those that are refused (401, 403), of an address.
API_REQUESTS_PER_MINUTE = env.whole("API_REQUESTS_PER_MINUTE", 1200, minimum=1, maximum=1_000_000, unit="requests")
# Logins tried in a minute: for one account, and from one address.
LOGINS_PER_MINUTE = env.whole("LOGINS_PER_MINUTE", 10, minimum=1, maximum=1_000, unit="logins")
LOGINS_PER_MINUTE_AND_ADDRESS = env.whole("LOGINS_PER_MINUTE_AND_ADDRESS", 30, minimum=1, maximum=10_000, unit="logins")
# Proxies in front of the web server that append to X-Forwarded-For: so many of its entries are believed.
PROXIES = env.whole("PROXIES", 0, minimum=0, maximum=10, unit="proxies")
# The most ledger rows that a report reads where no rollup has its dimensions, and for how long it may read them.
REPORT_MAX_ROWS = env.whole("REPORT_MAX_ROWS", 100_000, minimum=1, maximum=100_000_000, unit="rows")
REPORT_MAX_SECONDS = env.seconds("REPORT_MAX_SECONDS", 5.0, minimum=0.1, maximum=600)
# The largest body of OpenTelemetry that is read, packed or unpacked.
OTLP_MAX_BODY_MB = env.whole("OTLP_MAX_BODY_MB", 16, minimum=1, maximum=1_000, unit="megabytes")
# Counts of requests: in Redis for all processes; without one each process keeps its own.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 10_000}}
}
KNOX_TOKEN_MODEL = "accounts.ApiKey"  # noqa: S105 - the name of a model
# Its own table is not used; made all the same, it would refer to accounts, and could not be emptied with them.
MIGRATION_MODULES = {"knox": None}
REST_KNOX = {"TOKEN_PREFIX": "cw_", "AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": None}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "costwatch.accounts.authentication.KeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["tracking.api.parsers.ExactJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_THROTTLE_CLASSES": ["costwatch.api.throttles.RequestThrottle"],
    "DEFAULT_SCHEMA_CLASS": "costwatch.api.schema.Schema",
    "EXCEPTION_HANDLER": "costwatch.api.problems.exception_handler",
    "NUM_PROXIES": PROXIES,
    # `?format=` is a parameter of exports, not of DRF.
    "URL_FORMAT_OVERRIDE": None,
    "UNICODE_JSON": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Costwatch",
    "VERSION": "1",
    "DESCRIPTION": "What AI calls cost, by whom and for what; what may be spent. Money is in USD, times are ISO 8601 "
    "with offset, days are those of the site's time zone.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SERVE_PUBLIC": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "/static/costwatch/icon.svg",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False},
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "AlertTypeEnum": "alerts.api.shapes.TYPES",
        "SeverityEnum": "alerts.api.shapes.SEVERITIES",
        "DigestEnum": "alerts.api.shapes.SPANS",
    },
}

# --- Metrics ------------------------------------------------------------------------------------
# With this token a scraper reads /metrics; without one, staff alone do.
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
if METRICS_TOKEN and len(METRICS_TOKEN) < 16:
    raise ImproperlyConfigured("METRICS_TOKEN is too short; it must have at least 16 characters.")

# --- Logging ------------------------------------------------------------------------------------
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = env.choice("LOG_FORMAT", "text", ("text", "json"))
# A line for every request: method, path, status, duration.
LOG_REQUESTS = env.flag("LOG_REQUESTS", LOG_FORMAT == "json")
# Only our own loggers and the frameworks': an application that meters its calls keeps its root logger as it is.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {
            "class": "costwatch.logs.TextFormatter",
            "format": "%(asctime)s %(levelname)s %(process)d %(name)s%(of_request)s: %(message)s",
        },
        "json": {"()": "costwatch.logs.JsonFormatter"},
    },
    "filters": {"request_id": {"()": "costwatch.operations.requests.RequestIdFilter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["request_id"]}},
    "loggers": {
        name: {"handlers": ["stderr"], "level": level, "propagate": False}
        for name, level in {
            "costwatch": LOG_LEVEL,
            "tracking": LOG_LEVEL,
            "django": LOG_LEVEL,
            # At DEBUG it writes down all that a page is given: the address with its query, a key that is shown once.
            "django.template": "INFO" if LOG_LEVEL == "DEBUG" else LOG_LEVEL,
            # Celery's INFO is four lines for each scheduled task.
            "celery": "WARNING" if LOG_LEVEL == "INFO" else LOG_LEVEL,
        }.items()
    },
}

# --- Demo ---------------------------------------------------------------------------------------
# The password of the accounts that `make demo` makes. Empty: one is made up and printed.
DEMO_PASSWORD = env.str("DEMO_PASSWORD", "")
