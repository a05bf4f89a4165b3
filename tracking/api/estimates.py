"""`POST /api/v1/estimates`: what calls would cost, by the price book, with the rates that were used."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from tracking.api.fields import Moment, Strict, UsdText
from tracking.api.views import ApiView, endpoint
from tracking.items import Invalid, read_item
from tracking.models import Rate
from tracking.money import from_nanousd
from tracking.pricing import Receipt, book, price, receipt_json
from tracking.usage import operation_of, read_usage

MAX_ITEMS = 100


class ToEstimate(Strict):
    """What is to be estimated."""

    items = serializers.ListField(
        child=serializers.DictField(),
        min_length=1,
        max_length=MAX_ITEMS,
        help_text="each with provider, model and meters (or usage, as the provider reports it); at (now unless given), "
        "batch and facts as in events",
    )


class EstimateLine(serializers.Serializer):
    """A line of a receipt: quantity x rate / per = amount."""

    meter = serializers.CharField(help_text="what is billed")
    quantity = serializers.CharField(help_text="how much, in units of the meter, as a decimal string")
    rate = serializers.CharField(allow_null=True, help_text="USD for `per` units, as a decimal string; null: not known")
    per = serializers.IntegerField(help_text="units that the rate is for")
    amount_usd = serializers.CharField(
        allow_null=True, help_text="USD, unrounded, as a decimal string; null: not known"
    )
    rate_since = Moment(allow_null=True, help_text="from when on the rate is in force; null: ever")
    rate_source = serializers.CharField(help_text="where the rate is from")


class Estimate(serializers.Serializer):
    """What one item would cost."""

    provider = serializers.CharField(help_text="of the item")
    model = serializers.CharField(help_text="of the item")
    at = Moment(help_text="the moment whose rates were used")
    cost = UsdText(allow_null=True, help_text="USD; null: there is no price")
    status = serializers.CharField(help_text="priced, unpriced, free or assumed")
    reason = serializers.CharField(help_text="why it has no price, or is assumed")
    lines = EstimateLine(many=True, help_text="meter by meter")


class EstimatesAnswer(serializers.Serializer):
    """What the items would cost, in their order."""

    estimates = Estimate(many=True, help_text="one for each item")


class EstimateView(ApiView):
    """Estimates."""

    scopes = {"POST": "call"}

    @endpoint("Estimate costs", body=ToEstimate, answer=EstimatesAnswer)
    def post(self, request: Any, query: dict, body: dict) -> dict:
        """What calls would cost: of one model or of several to compare. Nothing is recorded or held."""
        now, errors, found = timezone.now(), {}, []
        rates = book.current()
        for index, item in enumerate(body["items"]):
            try:
                values = read_item(item)
            except Invalid as error:
                errors[str(index)] = {name: [text] for name, text in error.errors.items()}
                continue
            at = values.get("at") or now
            endpoint_path = values.get("endpoint", "")
            usage = read_usage(
                provider=values["provider"],
                model=values.get("model", ""),
                operation=values.get("operation") or (operation_of(endpoint_path) if endpoint_path else "chat"),
                endpoint=endpoint_path,
                usage={"meters": values["meters"]} if "meters" in values else values.get("usage"),
                facts=values.get("facts", {}),
                batch=values.get("batch", False),
            )
            found.append((values, at, price(usage, at, rates)))
        if errors:
            raise serializers.ValidationError({"items": errors})
        used = Rate.objects.in_bulk({line.rate_id for *_, receipt in found for line in receipt.lines if line.rate_id})
        return {"estimates": [_shown(values, at, receipt, used) for values, at, receipt in found]}


def _shown(values: dict, at: datetime, receipt: Receipt, used: dict[int, Rate]) -> dict:
    lines = []
    for line in receipt_json(receipt)["lines"]:
        rate = used.get(line["rate_id"])
        lines.append(
            {**line, "rate_since": rate.valid_from if rate else None, "rate_source": rate.source if rate else ""}
        )
    total = receipt.total_nanousd
    return {
        "provider": values["provider"],
        "model": values.get("model", ""),
        "at": at,
        "cost": None if total is None else from_nanousd(total),
        "status": receipt.status,
        "reason": receipt.reason,
        "lines": lines,
    }
