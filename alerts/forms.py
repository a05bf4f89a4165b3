"""Forms in which channels and preferences are edited, the same in the admin and on the settings page.

A channel's form has the fields of its kind. Secrets are written only: a field that holds one is empty when it is shown,
and what is left empty is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError

from alerts import channels, managing
from alerts.channels.errors import InvalidChannel
from alerts.channels.kind import Field, Kind
from alerts.channels.webhook import new_secret
from alerts.kinds import ABOUT_ALERTS, ON_REQUEST, Severity, Type
from alerts.models import AlertPreference, Channel, Summary
from alerts.secrets import SecretsError, merged, seal, unseal

#: What alerts can be about, in the order of `Type`.
TYPES = [(name, label) for name, label in Type.choices if name not in ABOUT_ALERTS]
_ALWAYS = (Type.DIGEST,)  # sent because somebody asked for it
_SEVERITIES = [
    (Severity.INFO, "everything"), (Severity.WARNING, "warnings and critical ones"),
    (Severity.CRITICAL, "critical ones only"),
]  # fmt: skip
_PREFIX, _REMOVE = "set_", "remove_"


class PreferenceForm(forms.Form):
    """What an account wants to hear of at all, and how often it is told what was spent."""

    min_severity = forms.ChoiceField(label="Tell me", choices=_SEVERITIES)
    types_on = forms.MultipleChoiceField(
        label="About", required=False, widget=forms.CheckboxSelectMultiple,
        choices=[(name, label) for name, label in TYPES if name not in (*_ALWAYS, *ON_REQUEST)],
        help_text="what is not chosen still stands in the list of alerts, as read",
    )  # fmt: skip
    summary = forms.ChoiceField(
        label="What was spent", choices=Summary.choices, required=False,
        help_text="a summary at eight in the morning: spending against the span before, budgets, alerts",
    )  # fmt: skip

    @classmethod
    def of(cls, preference: AlertPreference, data: Any = None) -> PreferenceForm:
        """The form, filled with what the account has chosen so far."""
        names = dict(cls.base_fields["types_on"].choices)
        on = [name for name in names if name not in preference.types_off]
        initial = {"min_severity": preference.min_severity, "types_on": on, "summary": preference.summary}
        return cls(data, initial=initial)

    @property
    def types_off(self) -> list[str]:
        """What a valid form leaves out."""
        return [name for name, _ in self.fields["types_on"].choices if name not in self.cleaned_data["types_on"]]


class ChannelForm(forms.ModelForm):
    """One channel. `channel_form` adds what its kind needs."""

    kind: Kind

    types = forms.MultipleChoiceField(
        label="Only about", required=False, choices=TYPES, widget=forms.CheckboxSelectMultiple,
        help_text="nothing chosen: about everything",
    )  # fmt: skip
    min_severity = forms.ChoiceField(label="Tells", choices=_SEVERITIES, initial=Severity.WARNING)
    time_zone = forms.ChoiceField(
        label="Time zone", choices=[], help_text="of quiet hours and the digest, and of times in messages"
    )

    class Meta:
        model = Channel
        fields = [
            "name", "is_active", "min_severity", "types", "everyone", "quiet_from", "quiet_until", "quiet_critical",
            "digest", "digest_at", "time_zone", "rate_per_hour",
        ]  # fmt: skip
        labels = {
            "is_active": "On",
            "everyone": "Also what concerns one user only",
            "quiet_from": "Quiet from",
            "quiet_until": "Quiet until",
            "quiet_critical": "Quiet for critical alerts too",
            "digest": "Collect",
            "digest_at": "Send what was collected at",
            "rate_per_hour": "At most in an hour",
        }
        help_texts = {
            "name": "how you call it",
            "everyone": "",
            "quiet_from": "what comes in quiet hours is sent afterwards; empty: never quiet",
            "quiet_until": "",
            "quiet_critical": "",
            "digest": "critical alerts are sent at once all the same",
            "digest_at": "",
            "rate_per_hour": "more are told in one message",
        }
        widgets = {
            name: forms.TimeInput(attrs={"type": "time", "class": "form-control"}, format="%H:%M")
            for name in ("quiet_from", "quiet_until", "digest_at")
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.kind = self.kind.name
        zones = sorted(
            name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "System"))
        )
        current = self.instance.time_zone
        names = ["UTC", *zones] if current in ("UTC", *zones) else [current, "UTC", *zones]
        self.fields["time_zone"].choices = [(name, name.replace("_", " ")) for name in names]
        self.initial.setdefault("time_zone", current)
        if self.instance.pk is None:
            self.initial["name"] = self.initial.get("name") or self.kind.label
        if self.instance.owner_id is not None:
            self.fields.pop("everyone", None)
        if self.instance.implied:  # it goes to the account's own address, whatever that is
            for field in self.kind.fields:
                self.fields.pop(_PREFIX + field.name, None)
        self.kept = self._kept_secrets()
        for field in self.kind.fields:
            self._prepare(field)

    def _kept_secrets(self) -> set[str]:
        try:
            return set(unseal(self.instance.secrets)) if self.instance.secrets else set()
        except SecretsError:  # no key opens them: they have to be entered anew
            return set()

    def _prepare(self, field: Field) -> None:
        name = _PREFIX + field.name
        if name not in self.fields:
            return
        if not field.secret:
            value = (self.instance.config or {}).get(field.name, "")
            self.initial.setdefault(name, ", ".join(value) if isinstance(value, list) else value)
        elif field.name in self.kept:
            self.fields[name].required = False
            self.fields[name].help_text = "Kept, and not shown again. Enter another to replace it."
        elif self.kind.name == "webhook" and field.required and not self.is_bound:
            self.initial.setdefault(name, new_secret())  # to be copied to the receiver now
        if field.name not in self.kept:
            self.fields.pop(_REMOVE + field.name, None)

    def clean(self) -> dict[str, Any]:
        """What the kind says to its fields, together with the secrets that are kept."""
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            secrets = merged(self.instance.secrets, self._secrets())
            config = self.instance.config if self.instance.implied else self._config()
            try:
                _, opened = managing.validated(self.instance, config=config or {}, given=secrets)
                seal(opened)
            except InvalidChannel as error:
                self._tell(error.errors.items())
            except SecretsError as error:
                self.add_error(None, str(error))
        return cleaned

    @property
    def general(self) -> list[forms.BoundField]:
        """What it is and where it goes."""
        return [self[name] for name in self.fields if name == "name" or name.startswith((_PREFIX, _REMOVE))]

    @property
    def what(self) -> list[forms.BoundField]:
        """What it tells."""
        return [self[name] for name in ("is_active", "min_severity", "types", "everyone") if name in self.fields]

    @property
    def when(self) -> list[forms.BoundField]:
        """When it tells it."""
        names = (
            "quiet_from", "quiet_until", "quiet_critical", "digest", "digest_at", "time_zone", "rate_per_hour",
        )  # fmt: skip
        return [self[name] for name in names if name in self.fields]

    def store(self, *, at: datetime) -> bool:
        """Save a valid form. False where the channel cannot be like that: the form says why."""
        channel = self.instance
        if not channel.implied:
            channel.config = self._config()
        try:
            managing.save_channel(channel, given_secrets=self._secrets(), at=at)
        except ValidationError as error:
            self._tell((error.message_dict if hasattr(error, "error_dict") else {"": error.messages}).items())
            return False
        return True

    def _config(self) -> dict[str, Any]:
        return {f.name: self._given(f) for f in self.kind.fields if not f.secret and self._given(f)}

    def _secrets(self) -> dict[str, Any]:
        """Those that were entered, and None for those that are to be removed."""
        secrets = [field for field in self.kind.fields if field.secret]
        given: dict[str, Any] = {field.name: self._given(field) for field in secrets if self._given(field)}
        return given | {field.name: None for field in secrets if self.cleaned_data.get(_REMOVE + field.name)}

    def _tell(self, problems: Iterable[tuple[str, Any]]) -> None:
        for name, texts in problems:
            self.add_error(next((one for one in (_PREFIX + name, name) if one in self.fields), None), texts)

    def _given(self, field: Field) -> str:
        return self.cleaned_data.get(_PREFIX + field.name) or ""


def channel_form(kind: str) -> type[ChannelForm]:
    """The form of channels of a kind. Raises `alerts.channels.Permanent` where there is no such kind."""
    found = channels.kind_of(kind)
    fields: dict[str, Any] = {"kind": found, "Meta": ChannelForm.Meta}
    for field in found.fields:
        fields[_PREFIX + field.name] = _form_field(field, shown=field.secret and kind == "webhook")
        if field.secret and not field.required:
            fields[_REMOVE + field.name] = forms.BooleanField(label=f"Remove the {field.label.lower()}", required=False)
    return type("ChannelForm", (ChannelForm,), fields)


def _form_field(field: Field, *, shown: bool) -> forms.Field:
    attrs = {"autocomplete": "off", "spellcheck": "false"}
    if field.choices:
        choices = field.choices if field.required else (("", "–"), *field.choices)
        return forms.ChoiceField(label=field.label, help_text=field.help, required=field.required, choices=choices)
    widget: forms.Widget = forms.TextInput(attrs)
    if field.secret and not shown:
        widget = forms.PasswordInput({**attrs, "autocomplete": "new-password"})
    return forms.CharField(
        label=field.label, help_text=field.help, required=field.required, widget=widget, max_length=2_048
    )
