"""Who uses Costwatch."""

from zoneinfo import ZoneInfo, available_timezones

from django.contrib.auth.models import AbstractUser, UserManager as DjangoUserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower


def validate_time_zone(name: str) -> None:
    """Raise ValidationError unless `name` is an IANA time zone such as "Europe/Vienna"."""
    if name not in available_timezones():
        raise ValidationError(f"{name!r} is not a time zone. Use a name such as Europe/Vienna or UTC.")


class UserManager(DjangoUserManager):
    """Makes accounts by email, and finds them whatever the case of its letters."""

    def _create_user(self, username, email, password, **extra):
        if not email:
            raise ValueError("An account needs an email address.")
        return super()._create_user(username or email, email, password, **extra)

    def create_user(self, username=None, email=None, password=None, **extra):
        return super().create_user(username, email, password, **extra)

    def create_superuser(self, username=None, email=None, password=None, **extra):
        return super().create_superuser(username, email, password, **extra)

    def get_by_natural_key(self, email):
        return self.get(email__iexact=email)


class User(AbstractUser):
    """An account: known by its email address, with a time zone in which its owner reads times."""

    username = models.CharField(max_length=254, unique=True, blank=True)
    email = models.EmailField("email address", max_length=254, unique=True)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []
    objects = UserManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique_ignoring_case")]

    def save(self, *args, **kwargs):
        self.username = self.username or self.email
        super().save(*args, **kwargs)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which times are shown to this user."""
        return ZoneInfo(self.time_zone)

    def __str__(self) -> str:
        return self.email
