"""The calculator: what calls would cost on any model, side by side; typical sessions, and budgets that would fit."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from budgets.tidy import recommended
from tracking.calculators import PriceNotKnownError, provider_of
from tracking.estimator import Offer, Quantities, image_kinds, offer, proposed_models, read_name
from tracking.pricing import book
from tracking.typical import SESSIONS, Session

#: Models that stand side by side.
MOST_MODELS = 4
_START = {
    "models": ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", ""],
    "input_tokens": 1500,
    "output_tokens": 2000,
    "calls": 1000,
    "tier": "standard",
}
_TIERS = (("standard", "Standard"), ("batch", "Batch"), ("flex", "Flex"), ("priority", "Priority"))


def _count(label: str, most: int, help_text: str = "") -> forms.IntegerField:
    widget = forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"})
    return forms.IntegerField(
        label=label, required=False, min_value=0, max_value=most, widget=widget, help_text=help_text
    )


def _minutes(label: str) -> forms.DecimalField:
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    return forms.DecimalField(label=label, required=False, min_value=0, max_value=100_000, widget=widget)


class EstimateForm(forms.Form):
    """What one call uses, how many of them there are, and on which models."""

    input_tokens = _count("Input tokens", 10**9)
    cache_read_tokens = _count("Cached input tokens", 10**9)
    output_tokens = _count("Output tokens", 10**9)
    minutes_heard = _minutes("Minutes of audio in")
    minutes_spoken = _minutes("Minutes of audio out")
    characters = _count("Characters spoken", 10**9)
    images = _count("Images", 10**6)
    image_kind = forms.ChoiceField(label="Of each image", required=False)
    tier = forms.ChoiceField(label="Tier", choices=_TIERS, required=False)
    calls = _count("Calls", 10**9)

    def __init__(self, data: dict, *, kinds: list[str]) -> None:
        super().__init__(data, auto_id="estimate_%s", label_suffix="", use_required_attribute=False)
        self.fields["image_kind"].choices = [("", "by tokens"), *((kind, kind) for kind in kinds)]

    @property
    def quantities(self) -> Quantities:
        """What a valid form says that one call uses."""
        names = set(Quantities.__dataclass_fields__)
        return Quantities(**{name: value for name, value in self.cleaned_data.items() if name in names and value})


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A typical session with its prices: in USD; None where one of them is missing."""

    session: Session
    steps: list[tuple[str, Decimal]]
    cost: Decimal
    monthly: Decimal
    budget: Decimal


@login_required
@require_safe
def estimate(request: HttpRequest) -> HttpResponse:
    """What is typed stands in the address, so that an estimate can be shared."""
    now, rates = timezone.now(), book.current()
    asked = bool(request.GET)
    names = [name.strip()[:200] for name in request.GET.getlist("model")][:MOST_MODELS] if asked else _START["models"]
    form = EstimateForm(request.GET.dict() if asked else _START, kinds=image_kinds())
    offers, chosen = [], list(dict.fromkeys(name for name in names if name))
    if form.is_valid():
        tier, calls = form.cleaned_data["tier"] or "standard", form.cleaned_data["calls"]
        offers = [
            offer(*read_name(name, rates), form.quantities, tier=tier, calls=1 if calls is None else calls,
                  rates=rates, at=now)
            for name in chosen
        ]  # fmt: skip
    context = {
        "form": form,
        "names": (names + [""] * MOST_MODELS)[:MOST_MODELS],
        "models": _names(proposed_models()),
        "offers": _marked(offers),
        "calls": form.cleaned_data.get("calls") if form.is_valid() else None,
        "sessions": _sessions(now),
        "at": now,
    }
    return render(request, "costwatch/estimate.html", context)


def _names(models: list[tuple[str, str]]) -> list[str]:
    """As they can be typed: bare where that means the same."""
    return [model if provider_of(model) == provider else f"{provider}/{model}" for provider, model in models]


def _marked(offers: list[Offer]) -> list[tuple[Offer, bool]]:
    """Each with whether it is the cheapest of several."""
    costs = [one.cost for one in offers if one.cost is not None]
    return [(one, len(set(costs)) > 1 and one.cost == min(costs)) for one in offers]


def _sessions(now: datetime) -> list[SessionLine]:
    """The typical sessions at today's prices; none where the price book lacks one of them."""
    try:
        return [_session(session, now) for session in SESSIONS]
    except PriceNotKnownError:
        return []


def _session(session: Session, now: datetime) -> SessionLine:
    steps = [(step.what, step.cost(now)) for step in session.steps]
    cost = session.cost(now)
    monthly = cost * session.a_month
    return SessionLine(session, steps, cost, monthly, recommended(monthly))
