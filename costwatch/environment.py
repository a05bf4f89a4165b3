"""Typed readers of the environment: a value that cannot be meant is refused by name, with what would be valid.

Values themselves are never repeated in an error about a URL: they hold passwords.
"""

import base64
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import environ
from django.core.exceptions import ImproperlyConfigured

from alerts.channels.addresses import Exceptions

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


class Environment(environ.Env):
    """django-environ, with readers that check what they read. All raise `ImproperlyConfigured`."""

    def flag(self, name: str, default: bool) -> bool:
        """Yes or no. (`Env.bool` takes every word it does not know for no.)"""
        text = self.str(name, "").strip().lower()
        if text not in ("", *_TRUE, *_FALSE):
            raise ImproperlyConfigured(f"{name} is {text!r}; it must be true or false.")
        return text in _TRUE if text else default

    def whole(self, name: str, default: int, *, minimum: int, maximum: int, unit: str) -> int:
        """A whole number from `minimum` to `maximum`."""
        text = self.str(name, "") or str(default)
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not minimum <= value <= maximum:
            raise ImproperlyConfigured(
                f"{name} is {text!r}; it must be a whole number of {unit} from {minimum} to {maximum}."
            )
        return value

    def seconds(self, name: str, default: float, *, minimum: float, maximum: float) -> float:
        """A duration in seconds, from `minimum` to `maximum`."""
        text = self.str(name, "") or str(default)
        try:
            value = float(text)
        except ValueError:
            value = None
        if value is None or not minimum <= value <= maximum:
            raise ImproperlyConfigured(
                f"{name} is {text!r}; it must be a number of seconds from {minimum:g} to {maximum:g}."
            )
        return value

    def usd(self, name: str) -> Decimal | None:
        """An amount in USD, zero or more; None where it is empty or unset."""
        text = self.str(name, "").strip()
        if not text:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            value = None
        if value is None or not value.is_finite() or not 0 <= value <= 1_000_000_000 or value != round(value, 9):
            raise ImproperlyConfigured(
                f"{name} is {text!r}; it must be an amount in USD from 0 to 1000000000 with at most nine decimal "
                "places, such as 50 or 12.50, or empty."
            )
        return value

    def choice(self, name: str, default: str, valid: Sequence[str]) -> str:
        """One of the words in `valid`."""
        value = self.str(name, "") or default
        if value not in valid:
            raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of: {', '.join(valid)}.")
        return value

    def zone(self, name: str, default: str) -> str:
        """The name of an IANA time zone."""
        value = self.str(name, "") or default
        if value not in available_timezones():
            raise ImproperlyConfigured(
                f"{name} is {value!r}, which is no time zone; use a name such as Europe/Vienna or UTC."
            )
        return value

    def folder(self, name: str, default: Path, *, base: Path) -> Path:
        """A folder; a relative one is taken from `base`, so that every process means the same."""
        return base / Path(self.str(name, "") or str(default)).expanduser()

    def colour(self, name: str, default: str) -> str:
        """A colour as "#rrggbb"."""
        value = (self.str(name, "") or default).strip().lower()
        if not re.fullmatch(r"#[0-9a-f]{6}", value):
            raise ImproperlyConfigured(f"{name} is {value!r}; it must be a colour such as #1f6f5c.")
        return value

    def logo(self, name: str, *, base: Path) -> str:
        """A picture: an https address as it is, or the absolute path of a file that exists; "" where none is set."""
        value = self.str(name, "").strip()
        if not value:
            return ""
        if value.startswith("https://") and not set(value) & set(" ;,'\"") and urlsplit(value).hostname:
            return value
        path = base / Path(value).expanduser()
        if path.suffix.lower() not in (".svg", ".png", ".webp", ".jpg") or not path.is_file():
            raise ImproperlyConfigured(
                f"{name} is {value!r}; it must be an https address, or a file that ends in .svg, .png, .webp or .jpg."
            )
        return str(path)

    def origins(self, name: str) -> list[str]:
        """A list of origins with their scheme."""
        values = [v.strip() for v in self.list(name, default=[]) if v.strip()]
        for value in values:
            if not value.startswith(("https://", "http://")):
                raise ImproperlyConfigured(
                    f"{name} holds {value!r}; each entry needs its scheme, as in https://costs.example.org."
                )
        return values

    def hosts(self, name: str) -> list[str]:
        """A list of host names, addresses and networks."""
        values = [v.strip() for v in self.list(name, default=[]) if v.strip()]
        try:
            Exceptions.of(values)
        except ValueError as error:
            raise ImproperlyConfigured(
                f"{name}: {error}; give names and networks, as in hooks.example.internal,10.1.2.0/24."
            ) from None
        return values

    def domains(self, name: str) -> list[str]:
        """A list of domains, in lower case."""
        values = [v.strip().lower().removeprefix("@") for v in self.list(name, default=[]) if v.strip()]
        for value in values:
            if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", value):
                raise ImproperlyConfigured(f"{name}: {value!r} is no domain; give some, as in example.com,example.org.")
        return values

    def fernet_keys(self, name: str) -> list[str]:
        """A list of keys for `cryptography`'s Fernet. They are never repeated in an error."""
        values = [v.strip() for v in self.list(name, default=[]) if v.strip()]
        for position, value in enumerate(values, start=1):
            try:
                valid = len(base64.b64decode(value, altchars=b"-_", validate=True)) == 32
            except ValueError:
                valid = False
            if not valid:
                raise ImproperlyConfigured(
                    f"{name}: entry {position} is not a key; python -c 'from cryptography.fernet import Fernet; "
                    "print(Fernet.generate_key().decode())' makes one."
                )
        return values

    def redis(self, name: str) -> str:
        """The URL of a Redis, or "" where none is set."""
        value = self.str(name, "")
        try:
            valid = not value or (urlsplit(value).scheme in ("redis", "rediss", "unix") and urlsplit(value).port != 0)
        except ValueError:
            valid = False
        if not valid:
            raise ImproperlyConfigured(f"{name} cannot be read; use the form redis://user:password@host:6379/0.")
        return value

    def site(self, name: str, default: str) -> str:
        """The address that people reach Costwatch by, without a final slash; "" where none is known."""
        value = (self.str(name, "") or default).rstrip("/")
        try:
            parts = urlsplit(value)
            valid = not value or (parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
        except ValueError:
            valid = False
        if not valid or "@" in value or "?" in value or "#" in value:
            raise ImproperlyConfigured(f"{name} is {value!r}; give it as in https://costs.example.org.")
        return value

    def mail(self, name: str) -> dict:
        """Django's settings for the mail server that `name` points to; with an empty host where it is unset."""
        url = self.str(name, "")
        if not url:
            return {"EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend", "EMAIL_HOST": ""}
        problem = ImproperlyConfigured(
            f"{name} cannot be used; give smtp+tls://user:password@host:587 (STARTTLS), "
            "smtp+ssl://user:password@host:465 (TLS from the beginning), smtp://host:25 (no encryption) or "
            "consolemail:// (prints mail instead of sending it); percent-encode special characters in user and "
            "password."
        )
        ports = {"smtp+tls": 587, "smtp+ssl": 465, "smtp": 25, "consolemail": None}
        try:
            parts = urlsplit(url)
            if parts.scheme not in ports or parts.query or (parts.scheme != "consolemail" and not parts.hostname):
                raise problem
            config = dict(self.email_url_config(url))
        except (ValueError, KeyError) as error:
            raise problem from error
        found = {key: config.get(key) or "" for key in ("EMAIL_BACKEND", "EMAIL_HOST", "EMAIL_HOST_USER")}
        return {
            **found,
            "EMAIL_HOST_PASSWORD": config.get("EMAIL_HOST_PASSWORD") or "",
            "EMAIL_PORT": config.get("EMAIL_PORT") or ports[parts.scheme] or 25,
            "EMAIL_USE_TLS": config.get("EMAIL_USE_TLS", False),
            "EMAIL_USE_SSL": config.get("EMAIL_USE_SSL", False),
        }

    def database(self, name: str, *, sqlite_file: Path) -> dict:
        """Django's settings for the database that `name` points to; SQLite in `sqlite_file` where it is unset."""
        url = self.str(name, "")
        if not url:
            return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(sqlite_file)}
        problem = ImproperlyConfigured(
            f"{name} cannot be used; give sqlite:////absolute/path.sqlite3 or "
            "postgres://user:password@host:5432/name (percent-encode special characters in the password)."
        )
        if urlsplit(url).scheme not in ("sqlite", "postgres", "postgresql", "psql", "pgsql"):
            raise problem
        try:
            config = self.db_url_config(url)
        except (ValueError, ImproperlyConfigured, KeyError) as error:
            raise problem from error
        if not config.get("NAME"):
            raise problem
        return dict(config)
