import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("workbench_sessions", "0008_audit"),
    ]

    operations = [
        migrations.CreateModel(
            name="Quota",
            fields=[
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="quota",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "sessions",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Live at once. Here and below: 0 is no limit, and empty is what the server's settings say.",
                        null=True,
                    ),
                ),
                (
                    "executions",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="That run or wait, in all its sessions together.",
                        null=True,
                    ),
                ),
                (
                    "storage_bytes",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Of the files of all its live sessions together.",
                        null=True,
                    ),
                ),
                (
                    "execution_seconds",
                    models.PositiveBigIntegerField(
                        blank=True, help_text="For which its code runs, in any 24 hours.", null=True
                    ),
                ),
                (
                    "output_bytes",
                    models.PositiveBigIntegerField(
                        blank=True, help_text="That its code puts out, in any 24 hours.", null=True
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="execution",
            name="output_bytes",
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
    ]
