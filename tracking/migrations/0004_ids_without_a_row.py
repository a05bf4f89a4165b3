"""Finds ids that stand for no row of the ledger by their age, so that those nobody needs any more can go."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tracking", "0003_sums_by_day_of_models_and_keys")]

    operations = [
        migrations.AddIndex(
            model_name="recordedevent",
            index=models.Index(
                condition=models.Q(("occurred_at", None)), fields=["recorded_at"], name="recorded_without_row"
            ),
        ),
    ]
