"""What was used and what it cost: the ledger, its rollups, analyses, and the price book."""

import uuid

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from tracking.fields import ExactDecimalField, UsdField


class PriceStatus(models.TextChoices):
    PRICED = "priced"
    UNPRICED = "unpriced"
    FREE = "free"
    ASSUMED = "assumed"


class ApiUsageLog(models.Model):
    """One attempt of one call. Append-only: a correction is a row of its own (`corrects`, no call, signed cost).

    Lives on the alias `LEDGER_DATABASE`; has no foreign keys, and no query joins it with another table. On PostgreSQL
    it is partitioned by month (see tracking.ledger).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    occurred_at = models.DateTimeField(help_text="when the attempt began")
    recorded_at = models.DateTimeField(help_text="when it was written here")
    corrects = models.UUIDField(null=True, help_text="the row that this row corrects")

    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=200, help_text="the model billed: served, else asked")
    model_asked = models.CharField(max_length=200, default="")
    model_served = models.CharField(max_length=200, default="")
    operation = models.CharField(max_length=40)
    endpoint = models.CharField(max_length=200, default="")
    service = models.CharField(max_length=20)
    source = models.CharField(max_length=20, default="sdk")

    user_id = models.BigIntegerField(null=True)
    feature = models.CharField(max_length=200, default="")
    analysis_id = models.CharField(max_length=200, default="")
    tags = models.JSONField(default=dict)

    request_id = models.CharField(max_length=200, default="")
    response_id = models.CharField(max_length=200, default="")
    attempt = models.PositiveSmallIntegerField(default=1)
    status = models.CharField(max_length=20)
    http_status = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=200, default="")
    quality = models.CharField(max_length=12, default="none")
    stream = models.BooleanField(default=False)
    latency_ms = models.PositiveIntegerField(null=True)
    ttft_ms = models.PositiveIntegerField(null=True)
    tier = models.CharField(max_length=40, default="standard")

    calls = models.SmallIntegerField(default=1, help_text="1; 0 for a correction; -1 where a row is taken back")
    unpriced = models.SmallIntegerField(default=0, help_text="1: cost unknown; -1: the correction that tells it")
    input_tokens = models.BigIntegerField(default=0, help_text="all input tokens, cached ones included")
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0, help_text="all output tokens, reasoning included")
    reasoning_tokens = models.BigIntegerField(default=0)
    audio_tokens = models.BigIntegerField(default=0, help_text="audio tokens, in and out, inside the totals")
    audio_ms = models.BigIntegerField(default=0, help_text="audio billed by duration, milliseconds")
    characters = models.BigIntegerField(default=0)
    images = models.IntegerField(default=0)
    meters = models.JSONField(default=dict, help_text="the disjoint billable quantities")
    raw_usage = models.JSONField(null=True, help_text="usage as the provider reported it")
    facts = models.JSONField(default=dict, help_text="what the price depends on beside the usage")
    flags = models.JSONField(default=list)

    cost = UsdField(null=True, help_text="USD; null while unpriced")
    price_status = models.CharField(max_length=10, choices=PriceStatus)
    receipt = models.JSONField(default=dict)

    class Meta:
        verbose_name = "usage log"
        indexes = [
            models.Index(fields=["-occurred_at", "-id"], name="ledger_time"),
            models.Index(fields=["user_id", "-occurred_at", "-id"], name="ledger_user_time"),
            models.Index(
                fields=["-occurred_at", "-id"], condition=models.Q(price_status="unpriced"), name="ledger_unpriced"
            ),
            # What somebody has at hand who looks for a call, and what an analysis lists: see tracking.lists.
            models.Index(fields=["request_id"], condition=~models.Q(request_id=""), name="ledger_request"),
            models.Index(fields=["response_id"], condition=~models.Q(response_id=""), name="ledger_response"),
            models.Index(
                fields=["analysis_id", "-occurred_at", "-id"],
                condition=~models.Q(analysis_id=""),
                name="ledger_analysis_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} {self.occurred_at:%Y-%m-%d %H:%M:%S} {self.id}"


class RecordedEvent(models.Model):
    """Decides what is new: an id stands here once, whatever partition its row went to."""

    id = models.UUIDField(primary_key=True)
    content_hash = models.BinaryField(max_length=16)
    recorded_at = models.DateTimeField()
    occurred_at = models.DateTimeField(null=True, help_text="of its ledger row; null where the event left none")

    class Meta:
        indexes = [
            models.Index(fields=["recorded_at"], condition=models.Q(occurred_at=None), name="recorded_without_row"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class ResultKey(models.Model):
    """A provider's result that can be retrieved again (background response, batch, video): it is billed once."""

    class State(models.TextChoices):
        PENDING = "pending"  # created, result not seen yet
        BILLED = "billed"  # as one row
        ITEMISED = "itemised"  # line by line

    key = models.CharField(max_length=300, primary_key=True)
    alias_of = models.CharField(max_length=300, default="", help_text="the key whose state counts for this one too")
    state = models.CharField(max_length=10, choices=State)
    event_id = models.UUIDField(
        null=True, help_text="the ledger row of the creation or of the result; null without one"
    )
    attribution = models.JSONField(default=dict, help_text="who created it, what for, and when")
    recorded_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.key}: {self.state}"


class Analysis(models.Model):
    """A unit of work whose calls are added up: known by a string key, made at first use."""

    id = models.CharField(max_length=200, primary_key=True)
    title = models.CharField(max_length=200, default="", blank=True)
    user_id = models.BigIntegerField(null=True, db_index=True)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "analyses"
        indexes = [models.Index(fields=["-created_at", "id"], name="analysis_newest")]

    def __str__(self) -> str:
        return self.title or self.id

    @property
    def ai_costs(self) -> dict:
        """Total, by feature, by model, tokens and calls: see `tracking.queries.analysis_costs`."""
        from tracking.queries import analysis_costs

        return analysis_costs(self.id)


class Rollup(models.Model):
    """Sums that every rollup keeps. A rollup row is only ever added to, in the transaction that writes the ledger.

    Dimensions are never null here (0 and "" stand for none), so that they can be a unique key.
    """

    calls = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0)
    cost = UsdField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    audio_ms = models.BigIntegerField(default=0)
    characters = models.BigIntegerField(default=0)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        names = self._meta.constraints[0].fields
        return ", ".join(str(getattr(self, name)) for name in names) + f": {self.cost} USD"


def _key(*fields: str, name: str) -> list[models.UniqueConstraint]:
    return [models.UniqueConstraint(fields=fields, name=name)]


class HourlyModelRollup(Rollup):  # noqa: DJ008 - inherited
    hour = models.DateTimeField()
    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    service = models.CharField(max_length=20)

    class Meta:
        constraints = _key("hour", "provider", "model", "service", name="rollup_hour_model")


class DailyModelRollup(Rollup):  # noqa: DJ008 - inherited
    day = models.DateField()
    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    service = models.CharField(max_length=20)

    class Meta:
        constraints = _key("day", "provider", "model", "service", name="rollup_day_model")


class DailyKeyRollup(Rollup):  # noqa: DJ008 - inherited
    day = models.DateField()
    user_id = models.BigIntegerField()
    api_key = models.CharField(max_length=500, help_text="its public id; empty: reported without a key")

    class Meta:
        constraints = _key("day", "user_id", "api_key", name="rollup_day_user_key")


class DailyFeatureRollup(Rollup):  # noqa: DJ008 - inherited
    day = models.DateField()
    feature = models.CharField(max_length=200)
    model = models.CharField(max_length=200)

    class Meta:
        constraints = _key("day", "feature", "model", name="rollup_day_feature_model")


class DailyUserRollup(Rollup):  # noqa: DJ008 - inherited
    day = models.DateField()
    user_id = models.BigIntegerField()

    class Meta:
        constraints = _key("day", "user_id", name="rollup_day_user")


class DailyUserFeatureRollup(Rollup):  # noqa: DJ008 - inherited
    day = models.DateField()
    user_id = models.BigIntegerField()
    feature = models.CharField(max_length=200)

    class Meta:
        constraints = _key("user_id", "day", "feature", name="rollup_user_day_feature")
        indexes = [BrinIndex(fields=["day"], name="user_feature_days")]  # a plain one on SQLite


class DailyUserModelRollup(Rollup):  # noqa: DJ008 - inherited
    day = models.DateField()
    user_id = models.BigIntegerField()
    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    service = models.CharField(max_length=20)

    class Meta:
        constraints = _key("user_id", "day", "provider", "model", "service", name="rollup_user_day_model")
        indexes = [BrinIndex(fields=["day"], name="user_model_days")]  # a plain one on SQLite


class SummedSpan(models.Model):
    """A stretch of days that is over, of which sums are kept: a third of a month, a month or a quarter.

    What writes to one of its days later on marks it invalid in the same transaction. See tracking.spans.
    """

    starts = models.DateField()
    ends = models.DateField(help_text="the first day that is not part of it")
    days = models.SmallIntegerField()
    valid = models.BooleanField(default=False, help_text="its sums are those of its days")
    summed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = _key("starts", "ends", name="summed_span")

    def __str__(self) -> str:
        return f"{self.starts} to {self.ends}"


class SpanModelRollup(Rollup):  # noqa: DJ008 - inherited
    span_id = models.IntegerField()
    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    service = models.CharField(max_length=20)

    class Meta:
        constraints = _key("span_id", "provider", "model", "service", name="rollup_span_model")


class SpanKeyRollup(Rollup):  # noqa: DJ008 - inherited
    span_id = models.IntegerField()
    user_id = models.BigIntegerField()
    api_key = models.CharField(max_length=500)

    class Meta:
        constraints = _key("span_id", "user_id", "api_key", name="rollup_span_user_key")


class SpanFeatureRollup(Rollup):  # noqa: DJ008 - inherited
    span_id = models.IntegerField()
    feature = models.CharField(max_length=200)
    model = models.CharField(max_length=200)

    class Meta:
        constraints = _key("span_id", "feature", "model", name="rollup_span_feature_model")


class SpanUserRollup(Rollup):  # noqa: DJ008 - inherited
    span_id = models.IntegerField()
    user_id = models.BigIntegerField()

    class Meta:
        constraints = _key("span_id", "user_id", name="rollup_span_user")


class SpanUserFeatureRollup(Rollup):  # noqa: DJ008 - inherited
    span_id = models.IntegerField()
    user_id = models.BigIntegerField()
    feature = models.CharField(max_length=200)

    class Meta:
        constraints = _key("span_id", "user_id", "feature", name="rollup_span_user_feature")


class SpanUserModelRollup(Rollup):  # noqa: DJ008 - inherited
    span_id = models.IntegerField()
    user_id = models.BigIntegerField()
    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    service = models.CharField(max_length=20)

    class Meta:
        constraints = _key("span_id", "user_id", "provider", "model", "service", name="rollup_span_user_model")


class TakenBack(Rollup):  # noqa: DJ008 - inherited
    """What corrections took back, as positive sums: with it, counters of what was recorded never fall."""

    provider = models.CharField(max_length=40)
    service = models.CharField(max_length=20)

    class Meta:
        constraints = _key("provider", "service", name="taken_back")


class AnalysisRollup(Rollup):  # noqa: DJ008 - inherited
    analysis_id = models.CharField(max_length=200)
    feature = models.CharField(max_length=200)
    model = models.CharField(max_length=200)
    first_call_at = models.DateTimeField()
    last_call_at = models.DateTimeField()

    class Meta:
        constraints = _key("analysis_id", "feature", "model", name="rollup_analysis_feature_model")


class Rate(models.Model):
    """The price of one meter of one model. Append-only: a change adds a row, and the row recorded last wins.

    Two times are kept: when the price was in force (`valid_from`, `valid_to`) and when Costwatch learned of it
    (`recorded_at`). USD `amount` per `per` units; no amount withdraws what earlier rows said.
    """

    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    meter = models.CharField(max_length=40)
    tier = models.CharField(max_length=40, default="standard")
    region = models.CharField(max_length=20, default="", blank=True)
    variant = models.CharField(max_length=60, default="", blank=True)
    above_context_tokens = models.PositiveIntegerField(default=0)
    amount = ExactDecimalField(null=True, blank=True)
    per = models.PositiveIntegerField(default=1_000_000)
    valid_from = models.DateTimeField(null=True, blank=True)
    valid_to = models.DateTimeField(null=True, blank=True)
    recorded_at = models.DateTimeField(auto_now_add=True)
    source = models.CharField(max_length=300)
    own = models.BooleanField(default=False, help_text="entered by an admin: wins over the catalogue")

    class Meta:
        indexes = [models.Index(fields=["provider", "model"], name="rate_provider_model")]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} {self.meter}: {self.amount} USD per {self.per}"


class PricedModel(models.Model):
    """A model that the catalogue knows: how names match it, and its limits. Refreshed by the importer."""

    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    position = models.PositiveIntegerField(help_text="rules are tried in this order")
    match = models.JSONField(help_text="the catalogue's match rule")
    name = models.CharField(max_length=200, default="", blank=True)
    context_window = models.PositiveIntegerField(null=True)
    deprecated = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "model"], name="priced_model_unique")]

    def __str__(self) -> str:
        return f"{self.provider} {self.model}"
