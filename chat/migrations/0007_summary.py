"""A question may be the wish for a summary, which is asked in a way of its own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0006_made")]

    operations = [
        migrations.AddField(
            model_name="turn",
            name="summary",
            field=models.JSONField(
                blank=True, help_text="Kind and language of the summary that the question asks for.", null=True
            ),
        ),
    ]
