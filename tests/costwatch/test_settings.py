"""Settings: wrong ones stop Costwatch at once and by name; every one of them is documented."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from costwatch.environment import Environment

ROOT = Path(__file__).resolve().parents[2]
READS = re.compile(r'env\.\w+\(\s*"([A-Z_]+)"|os\.environ\.get\("([A-Z_]+)"')
SECRET = "k3yZ_" + "aB1-cD2_eF3" * 6
PRODUCTION = {"COSTWATCH_ENV": "production", "SECRET_KEY": SECRET, "ALLOWED_HOSTS": "costs.example.org"}


def load(tmp_path: Path, *, show: str = "", **environment: str) -> subprocess.CompletedProcess:
    """Load the settings in a process of its own, with nothing but this environment."""
    code = f"from django.conf import settings; settings.DEBUG; print({show or '1'})"
    clean = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "costwatch.settings", "ENV_FILE": ""}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, "DATA_DIR": str(tmp_path / "data"), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_development_needs_no_settings_at_all(tmp_path):
    result = load(tmp_path, show="settings.DATABASES['default']['ENGINE'], settings.CELERY_BROKER_URL, settings.PORT")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "django.db.backends.sqlite3 filesystem:// 8000"


def test_production_with_a_secret_and_a_host_is_strict(tmp_path):
    result = load(
        tmp_path,
        show="settings.SECURE_SSL_REDIRECT, settings.SESSION_COOKIE_SECURE, settings.SECURE_HSTS_SECONDS",
        HTTPS_ONLY="",  # set to nothing: the default
        **PRODUCTION,
    )
    assert result.stdout.strip() == "True True 31536000", result.stderr


BAD = [
    # setting, value, what the message must say beside its name
    ("COSTWATCH_ENV", "staging", "development, production"),
    ("DEBUG", "perhaps", "true or false"),
    ("TIME_ZONE", "Mars/Olympus", "Europe/Vienna"),
    ("SPOOL_MAX_MB", "-1", "megabytes from 1"),
    ("SPOOL_MAX_MB", "lots", "whole number"),
    ("RECORDER_BATCH_SIZE", "0", "events from 1"),
    ("RECORDER_INTERVAL_S", "nan", "seconds from 0.01"),
    ("SQLITE_TIMEOUT_S", "-5", "seconds from 0"),
    ("CONN_MAX_AGE_S", "1.5", "whole number"),
    ("PORT", "99999", "65535"),
    ("WORKER_CONCURRENCY", "0", "processes from 1"),
    ("WEB_THREADS", "many", "threads"),
    ("HSTS_SECONDS", "-1", "from 0"),
    ("LOG_LEVEL", "LOUD", "WARNING"),
    ("LOG_FORMAT", "xml", "text, json"),
    ("METRICS_TOKEN", "guess-me", "16 characters"),
    ("REDIS_URL", "http://example.org", "redis://user:password@host"),
    ("REDIS_URL", "redis://host:notaport/0", "redis://user:password@host"),
    ("DATABASE_URL", "mysql://root:hunter2@host/name", "postgres://user:password@host"),
    ("DATABASE_URL", "postgres://u:hunter2@host:port/name", "postgres://user:password@host"),
    ("DATABASE_URL", "not a url, hunter2", "postgres://user:password@host"),
    ("DATABASE_URL", "postgres://u:hunter2@host", "postgres://user:password@host"),
    ("CSRF_TRUSTED_ORIGINS", "costs.example.org", "scheme"),
    ("DATA_DIR", "/dev/null/data", "cannot be made"),
]


@pytest.mark.parametrize(("name", "value", "says"), BAD, ids=[f"{n}={v}" for n, v, _ in BAD])
def test_a_bad_value_is_refused_by_name_and_says_what_is_valid(tmp_path, name, value, says):
    result = load(tmp_path, **{name: value})
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode != 0
    assert "ImproperlyConfigured" in last
    assert name in last and says in last
    assert "hunter2" not in last, "an error message must not repeat a password"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "change-me-" * 8),
        ("SECRET_KEY", "django-insecure-" + SECRET),
        ("SECRET_KEY", "development-only-" + "0" * 50),
        ("SECRET_KEY", "a" * 60),
        ("ALLOWED_HOSTS", ""),
        ("ALLOWED_HOSTS", " , "),
        ("DEBUG", "true"),
    ],
)
def test_production_fails_loudly_on_what_is_missing_or_a_placeholder(tmp_path, name, value):
    result = load(tmp_path, **{**PRODUCTION, name: value})
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode != 0
    assert "ImproperlyConfigured" in last and name in last


def test_the_env_file_is_read_and_the_environment_wins(tmp_path):
    file = tmp_path / "env"
    file.write_text("PORT=8111\nTIME_ZONE=Europe/Vienna\n")
    result = load(tmp_path, show="settings.PORT, settings.TIME_ZONE", ENV_FILE=str(file), PORT="8222")
    assert result.stdout.strip() == "8222 Europe/Vienna"


def test_a_proxy_can_say_that_the_request_came_over_https(tmp_path):
    result = load(tmp_path, show="settings.SECURE_PROXY_SSL_HEADER", PROXY_SSL_HEADER="X-Forwarded-Proto", **PRODUCTION)
    assert result.stdout.strip() == "('HTTP_X_FORWARDED_PROTO', 'https')"


def settings_read() -> set[str]:
    code = (ROOT / "costwatch/settings.py").read_text()
    return {first or second for first, second in READS.findall(code)}


def test_every_setting_stands_in_the_example_file_and_in_the_docs():
    example = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    documented = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "docs/reference/settings.md").read_text(), re.MULTILINE))
    read = settings_read()
    assert len(read) > 20
    assert read - example == set()
    assert read - documented == set()
    assert example == documented, "the file and the page list the same settings"


def test_the_example_file_as_it_stands_is_a_valid_development_set_up(tmp_path):
    """Every line uncommented: what is shown is the default, or empty, and both are accepted."""
    lines = [line.removeprefix("#") for line in (ROOT / ".env.example").read_text().splitlines() if "=" in line]
    settings = [line for line in lines if re.match(r"[A-Z_]+=", line) and not line.startswith("ENV_FILE")]
    file = tmp_path / "env"
    file.write_text("\n".join(settings))
    result = load(tmp_path, show="settings.PORT, settings.SPOOL_DIR.name, settings.HTTPS_ONLY", ENV_FILE=str(file))
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "8000 spool False"


def test_the_mail_server_is_read_from_one_url(monkeypatch):
    def mail(url):
        monkeypatch.setenv("EMAIL_URL", url)
        return Environment().mail("EMAIL_URL")

    assert mail("")["EMAIL_HOST"] == ""
    found = mail("smtp+tls://costs%40example.org:p%2Fw@mail.example.org")
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"], found["EMAIL_USE_TLS"]) == ("mail.example.org", 587, True)
    assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("costs@example.org", "p/w")
    found = mail("smtp+ssl://mail.example.org")
    assert (found["EMAIL_PORT"], found["EMAIL_USE_SSL"], found["EMAIL_USE_TLS"]) == (465, True, False)
    assert mail("smtp://mail.example.org")["EMAIL_PORT"] == 25
    assert mail("consolemail://")["EMAIL_BACKEND"].endswith("console.EmailBackend")
    for url in ("mail.example.org", "smtps://h", "smtp://", "smtp://h:port", "http://h", "smtp://u:secret@h?x=1"):
        with pytest.raises(ImproperlyConfigured, match="EMAIL_URL cannot be used") as refused:
            mail(url)
        assert "secret" not in str(refused.value)


def test_the_site_and_the_exceptions_for_webhooks_are_checked(monkeypatch):
    def read(name, value):
        monkeypatch.setenv(name, value)
        return Environment().site(name, "") if name == "SITE_URL" else Environment().hosts(name)

    assert read("SITE_URL", "https://costs.example.org/ai/") == "https://costs.example.org/ai"
    for value in ("costs.example.org", "ftp://x", "https://a@b", "https://a/?b", "https://a:x", "https://"):
        with pytest.raises(ImproperlyConfigured, match="SITE_URL"):
            read("SITE_URL", value)
    listed = ["hooks.internal", "10.1.2.0/24", "::1"]
    assert read("ALERT_WEBHOOK_ALLOWED_HOSTS", " hooks.internal, 10.1.2.0/24 ,::1") == listed
    for value in ("*", "10.1.2.3/24", "http://x", "a:80"):
        with pytest.raises(ImproperlyConfigured, match="ALERT_WEBHOOK_ALLOWED_HOSTS"):
            read("ALERT_WEBHOOK_ALLOWED_HOSTS", value)
