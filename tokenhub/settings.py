"""Settings, all from the environment (INTERFACE.md §1). ``tokenhub.environment`` fills the gaps in development."""

import logging
from pathlib import Path
from urllib.parse import unquote

import environ
import structlog
from celery.schedules import crontab
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from tokenhub import peers
from tokenhub.gateway.logs import name_the_call
from tokenhub.redact import processor as redact

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var")))
DEBUG = env.bool("DEBUG", default=False)
DEMO = env.bool("TOKENHUB_DEMO", default=False)


def required(name: str, why: str) -> str:
    """The value of a variable without which the product must not start."""
    value: str = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {why}")
    return value


SECRET_KEY = required("SECRET_KEY", "It signs sessions; use 50 or more random characters.")
# Comma-separated Fernet keys; the first encrypts, all decrypt, so that a key can be rotated.
FIELD_ENCRYPTION_KEYS: list[str] = required(
    "FIELD_ENCRYPTION_KEYS",
    "It encrypts provider credentials and keys the digests of API keys; "
    "use a comma-separated list of Fernet keys, the current one first.",
).split(",")

HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://{HOST}:{PORT}").rstrip("/")
# Where the console's process reaches /v1, for the playground: inside the deployment, a gateway or what
# stands before them. Empty: a process that serves both asks itself, another asks PUBLIC_URL.
GATEWAY_URL = env.str("GATEWAY_URL", default="").rstrip("/")
_LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=_LOCAL_HOSTS if DEBUG else [])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "tokenhub.operations.adminsite.OperationsAdminConfig",
    "django.forms",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "template_partials",
    "heroicons",
    "import_export",
    "django_structlog",
    "csp",
    "accounts",
    "accounts.webhooks",
    "keys",
    "routing",
    "billing",
    "tokenhub.web",
    "tokenhub.api",
    "tokenhub.operations",
]

MIDDLEWARE = [
    "tokenhub.web.headers.SecurityHeaders",
    "tokenhub.api.middleware.ApiMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "tokenhub.web.outage.Outage",
    "tokenhub.observability.RequestLog",
]

# Warnings of `manage.py check --deploy` that are meant to be so, by their ids.
SILENCED_SYSTEM_CHECKS: list[str] = env.list("SILENCED_SYSTEM_CHECKS", default=[])

ROOT_URLCONF = "tokenhub.urls"
# Widgets are drawn by what is in templates/ too.
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
ASGI_APPLICATION = "tokenhub.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "tokenhub.web.context.frame",
            ],
            "builtins": ["tokenhub.web.templatetags.formats"],
        },
    },
]

DATABASES = {"default": env.db("DATABASE_URL")}
DATABASES["default"].update(
    # A percent-encoded host is the directory of a Unix socket.
    HOST=unquote(DATABASES["default"]["HOST"]),
    CONN_HEALTH_CHECKS=True,
    OPTIONS={**peers.POSTGRES, **DATABASES["default"].get("OPTIONS", {})},
)
# Connections the console's process keeps; 0 opens one per thread and request, as the tests want it.
DATABASE_POOL_SIZE = env.int("TOKENHUB_DATABASE_POOL", default=12)
if DATABASE_POOL_SIZE:
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL_SIZE,
        # A page that waits longer had better say so; probes of readiness wait no longer either.
        "timeout": 2,
        # Who asks next tries anew. Else, after a long outage, nobody would for as long again.
        "reconnect_timeout": 1,
    }
DATABASE_URL = env.str("DATABASE_URL")
REDIS_URL = env.str("REDIS_URL", default="")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # A page asks several times: one that is silent must not cost it the client's five seconds each.
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
# A price list between its preview and its confirmation; another process may get the second.
IMPORT_EXPORT_TMP_STORAGE_CLASS = "import_export.tmp_storages.CacheStorage"
IMPORT_EXPORT_IMPORT_PERMISSION_CODE = "add"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_SIGNUP_FORM_CLASS = "accounts.forms.SignupForm"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_PREVENT_ENUMERATION = True
# How often one network address, person or address of mail may knock; counted in the shared cache.
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",  # also wrong second factors
    "signup": "20/m/ip",
    "confirm_email": "1/10s/key",
    "request_login_code": "20/m/ip,3/m/key",
    "reset_password": "20/m/ip,5/m/key",
    "reset_password_from_key": "20/m/ip",
    "change_password": "5/m/user",
    "reauthenticate": "10/m/user",
    "manage_email": "10/m/user",
}
ACCOUNT_SESSION_REMEMBER = True
# How long after signing in keys, cards and members are changed without signing in again; seconds.
ACCOUNT_REAUTHENTICATION_TIMEOUT = 1_800
ACCOUNT_EMAIL_SUBJECT_PREFIX = "TokenHub: "
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "http" if DEBUG else "https"
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
# Who changes a password, an address or a second factor is told of it by mail.
ACCOUNT_EMAIL_NOTIFICATIONS = True
MFA_ADAPTER = "accounts.adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "TokenHub"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = DEBUG
# Sign-in by Google or GitHub, each offered once its client is configured. A stranger's verified address
# there does not open an account that has the same address here: its owner connects the two.
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_PROVIDERS: dict[str, dict[str, object]] = {}
SIGN_IN_ORIGINS: list[str] = []
GITHUB_URL = env.str("GITHUB_URL", default="https://github.com").rstrip("/")
for _provider, _origin, _options in (
    ("google", "https://accounts.google.com", {"SCOPE": ["profile", "email"], "OAUTH_PKCE_ENABLED": True}),
    ("github", GITHUB_URL, {"SCOPE": ["read:user", "user:email"]}),
):  # fmt: skip
    _client = env.str(f"{_provider.upper()}_CLIENT_ID", default="")
    if _client:
        _secret = required(f"{_provider.upper()}_CLIENT_SECRET", "Its client id is set.")
        SOCIALACCOUNT_PROVIDERS[_provider] = {
            **_options,
            "APPS": [{"client_id": _client, "secret": _secret}],
        }
        INSTALLED_APPS.append(f"allauth.socialaccount.providers.{_provider}")
        SIGN_IN_ORIGINS.append(_origin)
if "github" in SOCIALACCOUNT_PROVIDERS and GITHUB_URL != "https://github.com":
    SOCIALACCOUNT_PROVIDERS["github"]["GITHUB_URL"] = GITHUB_URL
# Whether operators need a second factor to enter the admin.
ADMIN_REQUIRES_MFA = not DEBUG
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/console/"
LOGOUT_REDIRECT_URL = "/"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = "tokenhub.formats"

STATIC_URL = "/static/"
# With DEBUG they are served from where they are, and collected nowhere.
STATIC_ROOT = env.str("STATIC_ROOT", default="" if DEBUG else str(BASE_DIR / "staticfiles"))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
# With DEBUG a file is looked at when it is asked for: a style that is being worked on shows at once.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG
# What is compressed already, and source maps, which are megabytes that only a debugger asks for.
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = (
    "jpg", "jpeg", "png", "gif", "webp", "zip", "gz", "br", "woff", "woff2", "map",
)  # fmt: skip

EMAIL_TIMEOUT = 10  # seconds; without one, a mail server that hangs holds up a job for ever
EMAIL_URL = env.str("EMAIL_URL", default="")
if EMAIL_URL:
    vars().update(env.email("EMAIL_URL"))
elif DEBUG:
    EMAIL_BACKEND = "tokenhub.web.mailbox.MailboxBackend"
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="TokenHub <no-reply@tokenhub.example>")

# Where messages of visitors arrive and security reports are welcome.
CONTACT_EMAIL = env.str("CONTACT_EMAIL", default="support@tokenhub.example")
# Who is told when a provider refuses a credential of ours.
OPERATIONS_EMAIL = env.str("OPERATIONS_EMAIL", default=CONTACT_EMAIL)

STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="")
# Another Stripe than Stripe: the simulated one. It gives money away, so production refuses it.
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="")
if STRIPE_API_BASE and not DEBUG:
    raise ImproperlyConfigured("STRIPE_API_BASE is for development and tests: unset it.")
if STRIPE_SECRET_KEY.startswith(("sk_test_", "rk_test_")) and not DEBUG:
    raise ImproperlyConfigured("STRIPE_SECRET_KEY is a test key: production needs a live one.")
if STRIPE_SECRET_KEY and not STRIPE_WEBHOOK_SECRET:
    raise ImproperlyConfigured(
        "STRIPE_WEBHOOK_SECRET is not set. Without it no payment is heard of until the daily comparison."
    )
# What one top-up may be, and how long its unused money can be refunded.
TOP_UP_MIN_USD = env.int("TOP_UP_MIN_USD", default=5)
TOP_UP_MAX_USD = env.int("TOP_UP_MAX_USD", default=10_000)
REFUND_WITHIN_DAYS = env.int("REFUND_WITHIN_DAYS", default=30)
# A dotted path to a function (profile, subtotal in nano-USD) -> tax in nano-USD; empty computes none.
TAX_CALCULATOR = env.str("TAX_CALCULATOR", default="")
# How long a page searches the log before it asks for a narrower question.
SEARCH_TIMEOUT_S = env.float("SEARCH_TIMEOUT_S", default=5.0)
# Errors to Sentry and traces by OTLP over HTTP; nothing of either is loaded where they are not set.
SENTRY_DSN = env.str("SENTRY_DSN", default="")
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")
# Who shows it reads /metrics; without one, only this machine does.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

SIMULATED_PROVIDERS_URL = env.str("TOKENHUB_SIM_URL", default="")

# Whether addresses that people name may be of this machine, over plain HTTP: never in production.
EGRESS_ALLOW_LOOPBACK = env.bool("TOKENHUB_EGRESS_LOOPBACK", default=DEBUG)

# How long a process that was told to stop finishes what is under way, in seconds.
DRAIN_S = env.int("TOKENHUB_DRAIN_S", default=30)

# A lease is money moved to one gateway process; an expired one returns to the balance by itself.
LEASE_TTL_S = env.int("TOKENHUB_LEASE_TTL_S", default=30)

# How long a provider may take: for a whole plain answer, and between the bytes of a stream.
UPSTREAM_PLAIN_TIMEOUT_S = env.float("TOKENHUB_PLAIN_TIMEOUT_S", default=10.0 if DEMO else 300.0)
UPSTREAM_STREAM_TIMEOUT_S = env.float("TOKENHUB_STREAM_TIMEOUT_S", default=5.0 if DEMO else 60.0)
# A stream that is silent for so long gets a comment, so that nobody between takes it for dead.
STREAM_KEEP_ALIVE_S = env.float("TOKENHUB_KEEP_ALIVE_S", default=12.0)

# A video on its way: how long it may take, and how often its provider is asked at first.
TASK_DEADLINE_S = env.float("TOKENHUB_TASK_DEADLINE_S", default=3_600.0)
TASK_POLL_S = env.float("TOKENHUB_TASK_POLL_S", default=1.0 if DEMO else 5.0)

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": peers.CONNECT_WITHIN_S,
    "socket_keepalive": True,
    "socket_keepalive_options": peers.KEEPALIVE,
}
CELERY_TASK_IGNORE_RESULT = True
# A job is asked to stop, and then killed: what it began is rolled back, and the next run does it.
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "reap-expired-leases": {"task": "billing.tasks.reap_leases", "schedule": 5.0},
    "keep-usage-partitions": {"task": "billing.tasks.keep_usage_partitions", "schedule": 3600.0},
    "run-automatic-top-ups": {"task": "billing.tasks.run_automatic_top_ups", "schedule": 2.0},
    "chase-payments": {"task": "billing.tasks.chase_payments", "schedule": 30.0},
    "follow-media-tasks": {"task": "tokenhub.web.tasks.follow_media_tasks", "schedule": 2.0},
    "forget-media-urls": {"task": "tokenhub.web.tasks.forget_media_urls", "schedule": 3600.0},
    "check-alerts": {"task": "billing.tasks.check_alerts", "schedule": 10.0},
    "roll-up-availability": {
        "task": "tokenhub.web.tasks.roll_up_availability",
        "schedule": 300.0,
    },
    "deliver-webhooks": {
        "task": "accounts.webhooks.tasks.deliver_webhooks",
        "schedule": 2.0,
    },
    "announce": {"task": "tokenhub.web.tasks.announce", "schedule": 30.0},
    "forget-old-rows": {"task": "tokenhub.operations.tasks.forget_old_rows", "schedule": 3600.0},
    # A run that was not begun before the next is due is dropped: after a pause there is no backlog.
    "probe-offerings": {
        "task": "tokenhub.web.tasks.probe_offerings",
        "schedule": 2.0,
        "options": {"expires": 2},
    },
    "follow-incidents": {
        "task": "tokenhub.web.tasks.follow_incidents",
        "schedule": 2.0,
        "options": {"expires": 2},
    },
    "mail-credential-alarms": {
        "task": "tokenhub.web.tasks.mail_credential_alarms",
        "schedule": 10.0,
    },
    "forget-health-samples": {
        "task": "tokenhub.web.tasks.forget_health_samples",
        "schedule": 3600.0,
    },
    "close-months": {"task": "billing.tasks.close_months", "schedule": 3600.0},
    "reconcile-with-stripe": {
        "task": "billing.tasks.reconcile_with_stripe",
        "schedule": crontab(hour="4", minute="30"),
    },
    "forget-old-settlements": {"task": "billing.tasks.forget_settlements", "schedule": 3600.0},
    "forget-remembered-answers": {
        "task": "tokenhub.api.tasks.forget_remembered_answers",
        "schedule": 3600.0,
    },
}

for _entry in CELERY_BEAT_SCHEDULE.values():
    # What waited longer than its period in the queue is not run: the next one does the same.
    if isinstance(_entry["schedule"], float):
        _entry.setdefault("options", {"expires": max(_entry["schedule"], 10.0)})

_SECURE = not DEBUG
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _SECURE
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = _SECURE
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000 if _SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _SECURE
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        # A form's answer may lead to the payment page or to where one signs in, and browsers ask the
        # policy about that too.
        "form-action": [
            SELF,
            STRIPE_API_BASE or "https://checkout.stripe.com",
            *SIGN_IN_ORIGINS,
        ],
        "frame-ancestors": [NONE],
    }
}

# How often the REST API may be called in a minute: by one credential, from one address, and with keys that are none.
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", default=1_200)
API_ADDRESS_REQUESTS_PER_MINUTE = env.int("API_ADDRESS_REQUESTS_PER_MINUTE", default=6_000)
API_FAILED_KEYS_PER_MINUTE = env.int("API_FAILED_KEYS_PER_MINUTE", default=120)
# What a page takes in: a form, a price list in the admin. The gateway has limits of its own.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1_000
DATA_UPLOAD_MAX_NUMBER_FILES = 5
WEB_MAX_BODY_BYTES = 5 * 1024 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tokenhub.api.authentication.ManagementKey",
        "tokenhub.api.authentication.Session",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["tokenhub.api.parsers.Json"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "tokenhub.api.problems.handler",
    # A format is asked for by the Accept header alone.
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "TokenHub REST API",
    "DESCRIPTION": "What the console does, for programs. Calls to models are at `/v1`.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    # A body says itself which fields it needs, whatever the method.
    "COMPONENT_SPLIT_PATCH": False,
    "POSTPROCESSING_HOOKS": [
        "tokenhub.api.schema.complete",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOG_FORMAT = env.str("LOG_FORMAT", default="console" if DEBUG else "json")
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
# One line for each page and job, at its end; a request's id is ours, not what a client says.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_TASK_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_TASK_SUCCESS_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = False
DJANGO_STRUCTLOG_TRUST_UPSTREAM_CORRELATION_ID = False
_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    name_the_call,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "events": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                structlog.processors.JSONRenderer()
                if LOG_FORMAT == "json"
                else structlog.dev.ConsoleRenderer(colors=False),
            ],
            "foreign_pre_chain": _PROCESSORS,
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "events"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Django gives these handlers of their own, which would print beside ours what ours takes out.
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        "django.db.backends": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "uvicorn.access": {"level": "WARNING"},
        "stripe": {"level": "WARNING"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
structlog.configure(
    processors=[*_PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
