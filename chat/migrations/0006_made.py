"""What is still to be fetched is found at once, and the embedded engine of an older install has its tools, too."""

from typing import Any

from django.db import migrations, models


def switch_tools_on(apps: Any, schema_editor: Any) -> None:
    embedded = apps.get_model("chat", "Deployment").objects.filter(provider__source="embedded")
    embedded.update(code_interpreter=True, image_generation=True)


class Migration(migrations.Migration):
    dependencies = [("chat", "0005_intake")]

    operations = [
        migrations.AddIndex(
            model_name="attachment",
            index=models.Index(
                condition=models.Q(("made_by__isnull", False)),
                fields=["status", "created_at"],
                name="made_to_fetch",
            ),
        ),
        migrations.RunPython(switch_tools_on, migrations.RunPython.noop, elidable=True),
    ]
