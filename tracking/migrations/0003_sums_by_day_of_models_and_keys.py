"""Sums by day of models and of API keys, filled from what is there."""

from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import migrations, models
from django.db.models import Case, F, IntegerField, Sum, TextField, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, TruncDate

import tracking.fields

MEASURES = (
    *("calls", "errors", "unpriced", "cost", "input_tokens", "cache_read_tokens", "output_tokens", "audio_ms"),
    "characters",
)
ERRORS = ("error", "timeout", "connection_error", "incomplete")


def fill(apps, schema_editor):
    """Models from the sums of users and models; keys from the ledger, where it is kept in this database."""
    alias = schema_editor.connection.alias
    by_user = apps.get_model("tracking", "DailyUserModelRollup").objects.using(alias).order_by()
    names = ("day", "provider", "model", "service")
    sums = {f"sum_{name}": Sum(name) for name in MEASURES}
    _write(apps.get_model("tracking", "DailyModelRollup"), alias, by_user.values(*names).annotate(**sums), names)
    if alias != settings.LEDGER_DATABASE:
        return
    ledger = apps.get_model("tracking", "ApiUsageLog").objects.using(alias).order_by()
    keys = ledger.values(
        at=TruncDate("occurred_at", tzinfo=ZoneInfo(settings.TIME_ZONE)),
        user=Coalesce("user_id", 0),
        api_key=Coalesce(Cast(KeyTextTransform("api_key", "tags"), TextField()), Value("", TextField())),
    )
    failed = Case(When(status__in=ERRORS, then=Value(1)), default=Value(0), output_field=IntegerField())
    sums = {f"sum_{name}": Sum(F(name)) for name in MEASURES if name != "errors"} | {"sum_errors": Sum(failed)}
    _write(
        apps.get_model("tracking", "DailyKeyRollup"), alias, keys.annotate(**sums), ("at", "user", "api_key"),
        {"at": "day", "user": "user_id"},
    )  # fmt: skip


def _write(model, alias, groups, names, columns=None):
    rows = []
    for group in groups.iterator(chunk_size=2000):
        values = {(columns or {}).get(name, name): group[name] for name in names}
        rows.append(model(**values, **{name: group[f"sum_{name}"] or 0 for name in MEASURES}))
        if len(rows) == 2000:
            model.objects.using(alias).bulk_create(rows)
            rows.clear()
    model.objects.using(alias).bulk_create(rows)


def _sums():
    return [
        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
        *((name, models.BigIntegerField(default=0)) for name in ("calls", "errors", "unpriced")),
        ("cost", tracking.fields.UsdField(default=0)),
        *((name, models.BigIntegerField(default=0)) for name in MEASURES[4:]),
    ]


class Migration(migrations.Migration):
    dependencies = [("tracking", "0002_indexes_for_looking_up")]

    operations = [
        migrations.CreateModel(
            name="DailyModelRollup",
            fields=[
                *_sums(),
                ("day", models.DateField()),
                ("provider", models.CharField(max_length=40)),
                ("model", models.CharField(max_length=200)),
                ("service", models.CharField(max_length=20)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("day", "provider", "model", "service"), name="rollup_day_model")
                ]
            },
        ),
        migrations.CreateModel(
            name="DailyKeyRollup",
            fields=[
                *_sums(),
                ("day", models.DateField()),
                ("user_id", models.BigIntegerField()),
                ("api_key", models.CharField(help_text="its public id; empty: reported without a key", max_length=500)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("day", "user_id", "api_key"), name="rollup_day_user_key")
                ]
            },
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
