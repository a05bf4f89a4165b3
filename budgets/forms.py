"""Forms in which budgets are edited: limits, increases, and many limits at once."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from budgets.models import BudgetIncrease, BudgetLimit
from budgets.subjects import subject_for
from budgets.validation import read_thresholds, validate_amount, validate_until

_CENT = Decimal("0.01")


class PercentsField(forms.CharField):
    """Thresholds as people write them, in percent: `80, 100`; in Python a list of shares as text."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value):
        if isinstance(value, list):
            return ", ".join(f"{(Decimal(str(share)) * 100).normalize():f}" for share in value)
        return value

    def to_python(self, value):
        if isinstance(value, list):
            return value
        shares = []
        for part in (value or "").replace("%", " ").replace(";", ",").replace(",", " ").split():
            try:
                shares.append(f"{(Decimal(part) / 100).normalize():f}")
            except (InvalidOperation, ValueError):
                raise ValidationError(f"{part!r} is not a percentage. Write them as in 80, 100.") from None
        return [f"{share.normalize():f}" for share in read_thresholds(shares)]

    def has_changed(self, initial, data):
        try:
            return super().has_changed(self.prepare_value(initial), self.prepare_value(self.to_python(data)))
        except ValidationError:
            return True


class UsdInput(UnfoldAdminDecimalFieldWidget):
    """An amount without the zeros that nobody typed."""

    input_type = "text"

    def __init__(self, attrs=None):
        super().__init__(attrs={"inputmode": "decimal", "autocomplete": "off", **(attrs or {})})

    def format_value(self, value):
        return f"{value.normalize():f}" if isinstance(value, Decimal) else super().format_value(value)


def time_zones() -> list[tuple[str, str]]:
    """Every zone that has a place in it, and UTC."""
    places = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return [(name, name.replace("_", " ")) for name in ["UTC", *places]]


class LimitForm(forms.ModelForm):
    """A limit, with the reason for changing it."""

    thresholds = PercentsField(
        label="Alert at",
        required=False,
        help_text="percent of the amount, as in 80, 100: each is told once in every window",
    )
    time_zone = forms.ChoiceField(
        label="Time zone",
        choices=time_zones,
        widget=UnfoldAdminSelectWidget,
        help_text="days, weeks and months begin at its midnight",
    )
    why = forms.CharField(
        label="Why",
        required=False,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="kept in the history of the limit",
    )

    class Meta:
        model = BudgetLimit
        fields = [
            *("name", "scope", "user", "group", "target", "period", "amount", "pause_on_exceed", "no_maximum"),
            *("thresholds", "alerts_enabled", "time_zone", "week_start", "month_start", "active_from"),
            *("active_until", "note"),
        ]
        labels = {
            "scope": "Counts the calls of",
            "target": "Which one",
            "amount": "Amount in USD",
            "pause_on_exceed": "Hard",
            "no_maximum": "Calls without a maximum of output",
            "alerts_enabled": "Alerts",
            "month_start": "First day of the month",
            "week_start": "First day of the week",
        }
        help_texts = {
            "name": "how it is called in alerts and refusals; empty: told by its amount and scope",
            "user": "whose calls count",
            "group": "the calls of its members count",
            "target": "the analysis, feature, provider, model (gpt-4o, claude-*), id of the key, or team=search",
            "amount": "per period; 0 blocks every call that costs something",
            "pause_on_exceed": "refuse calls that could pass the amount; otherwise count and alert only",
            "no_maximum": "what is held for a call whose caller set no maximum of output",
            "month_start": "1 to 31; the last day where a month has no such day",
            "active_from": "empty: from the start",
            "active_until": "empty: until further notice",
        }
        widgets = {"note": UnfoldAdminTextareaWidget(attrs={"rows": 2}), "amount": UsdInput()}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        zone = self.instance.time_zone
        field = self.fields.get("time_zone")
        if field is not None and zone and zone not in dict(field.choices):  # valid, but not in the list: an older name
            field.choices = [(zone, zone), *field.choices]


class IncreaseForm(forms.ModelForm):
    """More for a while, given at once. `for_whom` names one subject of an "each" limit."""

    for_whom = forms.CharField(
        required=False, max_length=200, label="For whom", widget=UnfoldAdminTextInputWidget,
    )  # fmt: skip

    class Meta:
        model = BudgetIncrease
        fields = ["for_whom", "amount", "until", "why"]
        widgets = {"why": UnfoldAdminTextInputWidget(), "amount": UsdInput()}

    def __init__(self, *args, limit: BudgetLimit | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.limit = limit

    def clean_amount(self) -> Decimal:
        amount = self.cleaned_data["amount"]
        validate_amount(amount)
        if amount <= 0:
            raise ValidationError("An increase is more than 0.")
        return amount

    def clean_until(self):
        until = self.cleaned_data["until"]
        validate_until(until, at=timezone.now())
        return until

    def clean_for_whom(self) -> str:
        try:
            return subject_for(self.limit, self.cleaned_data["for_whom"]) if self.limit else ""
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def clean(self):
        if self.limit is not None and self.limit.owner_id is not None:
            raise ValidationError("This is a limit of the user's own: he can raise it himself.")
        return super().clean()


class IncreaseFormSet(PaginationInlineFormSet):
    """Gives each form the limit that it increases."""

    def get_form_kwargs(self, index):
        return {**super().get_form_kwargs(index), "limit": self.instance}


class AskForm(forms.Form):
    """A user asks for more of one limit."""

    amount = forms.DecimalField(
        label="How much more, in USD", min_value=_CENT, max_digits=19, decimal_places=9,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )  # fmt: skip
    until = forms.DateTimeField(
        label="Until", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"],
    )  # fmt: skip
    why = forms.CharField(label="What for", max_length=1000, widget=forms.Textarea(attrs={"rows": 3}))

    def clean_amount(self) -> Decimal:
        amount = self.cleaned_data["amount"]
        validate_amount(amount)
        return amount


class OwnLimitsForm(forms.Form):
    """The limits a user sets himself. An empty amount means no limit."""

    daily_limit = forms.DecimalField(
        label="A day, in USD", required=False, min_value=0, max_digits=19, decimal_places=9,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}), help_text="empty: no limit",
    )  # fmt: skip
    monthly_limit = forms.DecimalField(
        label="A month, in USD", required=False, min_value=0, max_digits=19, decimal_places=9,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text="empty: no limit; 0 blocks every call that costs something",
    )  # fmt: skip
    alert_percent = forms.DecimalField(
        label="Alert at percent of a limit", min_value=Decimal("0.1"), max_value=100, decimal_places=1, max_digits=4,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}), help_text="and again at 100",
    )  # fmt: skip
    alerts_enabled = forms.BooleanField(label="Alert me", required=False)
    pause_on_exceed = forms.BooleanField(
        label="Refuse calls that would go over", required=False, help_text="otherwise it counts and alerts only"
    )

    def __init__(self, *args, initial: dict | None = None, **kwargs) -> None:
        shown = {
            name: f"{value.normalize():f}" if isinstance(value, Decimal) else value
            for name, value in (initial or {}).items()
        }
        super().__init__(*args, initial=shown, **kwargs)

    @property
    def values(self) -> dict:
        """What `update_budget_config` is told by a valid form."""
        values = dict(self.cleaned_data)
        values["alert_threshold"] = values.pop("alert_percent") / 100
        return values


class ChangeAmountsForm(forms.Form):
    """Raise or lower several limits at once: by a percentage, or to one amount."""

    percent = forms.DecimalField(
        label="By percent", required=False, max_digits=9, decimal_places=3, widget=UsdInput(),
        help_text="20 raises by a fifth, -20 lowers by one; rounded to the cent",
    )  # fmt: skip
    amount = forms.DecimalField(
        label="Or to this amount in USD", required=False, max_digits=19, decimal_places=9, widget=UsdInput()
    )
    why = forms.CharField(
        label="Why", required=False, max_length=500, widget=UnfoldAdminTextInputWidget(),
        help_text="kept in the history of each limit",
    )  # fmt: skip

    def clean_percent(self) -> Decimal | None:
        percent = self.cleaned_data["percent"]
        if percent is not None and percent <= -100:
            raise ValidationError("That would leave nothing. To lift a limit, end it; to block calls, set it to 0.")
        return percent

    def clean_amount(self) -> Decimal | None:
        amount = self.cleaned_data["amount"]
        if amount is not None:
            validate_amount(amount)
        return amount

    def clean(self):
        cleaned = super().clean()
        if not self.errors and (cleaned.get("percent") is None) == (cleaned.get("amount") is None):
            raise ValidationError("Give a percentage or an amount, one of the two.")
        return cleaned

    def check(self, limits: Iterable[BudgetLimit]) -> None:
        """Find out whether every limit can have its new amount; a valid form has an error afterwards where not."""
        for limit in limits:
            try:
                validate_amount(self.amount_for(limit))
            except ValidationError as error:
                self.add_error(None, f"{limit}: {error.messages[0]}")
                return

    def amount_for(self, limit: BudgetLimit) -> Decimal:
        """The new amount of a limit, in USD."""
        if self.cleaned_data["amount"] is not None:
            return self.cleaned_data["amount"]
        factor = 1 + self.cleaned_data["percent"] / 100
        return (limit.amount * factor).quantize(_CENT, ROUND_HALF_UP)


class DecisionForm(forms.ModelForm):
    """Approve or refuse what a user asked for."""

    decision = forms.ChoiceField(
        choices=[("", "Not yet"), ("approve", "Approve: it counts at once"), ("refuse", "Refuse")],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )

    class Meta:
        model = BudgetIncrease
        fields = ["decision_note"]
        labels = {"decision_note": "Note"}
        help_texts = {"decision_note": "told to who asked"}
        widgets = {"decision_note": UnfoldAdminTextInputWidget()}
