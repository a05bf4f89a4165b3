"""Forms for accounts: made and found by email, never by a user name."""

from zoneinfo import available_timezones

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.forms import AdminUserCreationForm, AuthenticationForm
from unfold import forms as themed

User = get_user_model()


def time_zone_choices() -> list[tuple[str, str]]:
    """Every zone that has a place in it, and UTC."""
    places = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return [(name, name.replace("_", " ")) for name in ["UTC", *places]]


class LoginForm(AuthenticationForm):
    """Login by email, whatever the case of its letters and the spaces around it."""

    username = forms.EmailField(
        label="Email", widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "username"})
    )
    error_messages = {
        "invalid_login": "This email address and password do not match an account.",
        "inactive": "This account has been closed.",
    }

    def get_invalid_login_error(self) -> forms.ValidationError:
        if getattr(self.request, "too_many_logins", False):
            return forms.ValidationError("Too many logins were tried. Wait a minute, and try again.", code="too_many")
        return super().get_invalid_login_error()


class ProfileForm(forms.ModelForm):
    """What people change about their own account."""

    time_zone = forms.ChoiceField(choices=time_zone_choices, help_text="Times are shown in this zone.")

    class Meta:
        model = User
        fields = ["first_name", "last_name", "time_zone"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        zone = self.instance.time_zone
        if zone not in dict(time_zone_choices()):  # valid, but not in the list: an older name
            self.fields["time_zone"].choices = [(zone, zone), *time_zone_choices()]


class AccountCreationForm(themed.UserCreationForm, AdminUserCreationForm):
    class Meta:
        model = User
        fields = ["email", "time_zone"]


class AccountChangeForm(themed.UserChangeForm):
    class Meta:
        model = User
        fields = "__all__"
