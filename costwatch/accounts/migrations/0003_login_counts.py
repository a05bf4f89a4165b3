from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_api_keys")]

    operations = [
        migrations.CreateModel(
            name="LoginCount",
            fields=[
                ("key", models.CharField(max_length=60, primary_key=True, serialize=False)),
                ("minute", models.BigIntegerField(db_index=True, help_text="minutes since 1970")),
                ("count", models.PositiveIntegerField()),
            ],
        ),
    ]
