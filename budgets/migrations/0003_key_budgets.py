import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [
        ("budgets", "0002_crossing_lifted"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint("budgetlimit", "limit_own_is_for_oneself"),
        migrations.AddConstraint(
            "budgetlimit",
            models.CheckConstraint(
                condition=Q(owner__isnull=True) | Q(scope="user", owner=F("user")) | Q(scope="api_key"),
                name="limit_own_is_for_oneself",
            ),
        ),
        migrations.AlterField(
            "budgetlimit",
            "owner",
            models.ForeignKey(
                blank=True,
                help_text="the user who set it for himself or for a key of his; empty: staff's",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="own_limits",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
