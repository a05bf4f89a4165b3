"""Who uses Costwatch."""

from zoneinfo import ZoneInfo, available_timezones

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from knox.models import AbstractAuthToken, AuthTokenManager


def validate_time_zone(name: str) -> None:
    """Raise ValidationError unless `name` is an IANA time zone such as "Europe/Vienna"."""
    if name not in available_timezones():
        raise ValidationError(f"{name!r} is not a time zone. Use a name such as Europe/Vienna or UTC.")


class UserManager(BaseUserManager):
    """Makes accounts by email, and finds them whatever the case of its letters."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **extra) -> "User":
        """A new account. Without a password nobody can log in to it. Raises `ValueError` without an email."""
        if not email:
            raise ValueError("An account needs an email address.")
        user = self.model(email=self.normalize_email(email), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra) -> "User":
        """A new account that may do everything."""
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **extra})

    def get_by_natural_key(self, email: str) -> "User":
        return self.get(email__iexact=email)


class User(AbstractUser):
    """An account: known by its email address, with a time zone in which its owner reads times."""

    username = None
    email = models.EmailField(
        "email address",
        max_length=254,
        unique=True,
        error_messages={"unique": "An account with this email address exists already."},
    )
    time_zone = models.CharField(
        max_length=64,
        default="UTC",
        validators=[validate_time_zone],
        help_text="times are shown in this zone, as in Europe/Vienna",
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []
    objects = UserManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_unique_ignoring_case",
                violation_error_message="An account with this email address exists already.",
            )
        ]

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which times are shown to this user."""
        return ZoneInfo(self.time_zone)

    def __str__(self) -> str:
        return self.email


class ApiKeyManager(AuthTokenManager):
    """Makes tokens; `expiry` is a moment here, not a duration."""

    def create(self, user, expiry=None, prefix=None, **fields) -> tuple["ApiKey", str]:
        """A token and its secret, which is not kept."""
        token, secret = super().create(user, expiry=None, prefix=prefix, **fields)
        if expiry is not None:
            token.expiry = expiry
            token.save(update_fields=["expiry"])
        return token, secret


class ApiKey(AbstractAuthToken):
    """One secret of an API key, or of a login; only its hash is kept. Keys are told by their public id.

    A key that is rotated has two rows of one public id, each with a generation of its own.
    """

    class Kind(models.TextChoices):
        KEY = "key", "API key"
        LOGIN = "login"

    kind = models.CharField(max_length=10, choices=Kind, default=Kind.KEY)
    public_id = models.CharField(max_length=40, blank=True, help_text="how limits and reports name it; not secret")
    generation = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=200)
    scopes = models.JSONField(default=list, help_text="what it may do: read, ingest, call, admin")
    environment = models.CharField(max_length=40, blank=True)
    last_used_at = models.DateTimeField(null=True, help_text="to the minute")
    revoked_at = models.DateTimeField(null=True)
    password_mark = models.CharField(max_length=32, blank=True, help_text="of a login: dies with the password")

    objects = ApiKeyManager()

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.UniqueConstraint(
                fields=["public_id", "generation"], condition=~models.Q(public_id=""), name="api_key_generation_unique"
            )
        ]
        indexes = [models.Index(fields=["user", "kind", "-created"], name="api_key_of_user")]

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id or self.kind})"


class LoginCount(models.Model):
    """How many logins were tried, or requests refused, in a minute: for an account or from an address (hashed)."""

    key = models.CharField(max_length=60, primary_key=True)
    minute = models.BigIntegerField(db_index=True, help_text="minutes since 1970")
    count = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.count} in minute {self.minute}"
