import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("workbench_sessions", "0006_stopped_sessions"),
    ]

    operations = [
        migrations.AlterField(
            model_name="cell",
            name="session",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="cells",
                to="workbench_sessions.session",
            ),
        ),
        migrations.AlterField(
            model_name="event",
            name="execution",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="events",
                to="workbench_sessions.execution",
            ),
        ),
        migrations.AlterField(
            model_name="event",
            name="session",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="events",
                to="workbench_sessions.session",
            ),
        ),
        migrations.AlterField(
            model_name="execution",
            name="session",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="executions",
                to="workbench_sessions.session",
            ),
        ),
    ]
