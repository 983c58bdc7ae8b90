from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("workbench_sessions", "0004_notebook"),
    ]

    operations = [
        migrations.AddField(
            model_name="session",
            name="policy",
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
