import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("workbench_files", "0001_initial"),
        ("workbench_sessions", "0007_redundant_indexes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="sessionfile",
            name="session",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="files",
                to="workbench_sessions.session",
            ),
        ),
    ]
