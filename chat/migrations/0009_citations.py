"""What came of comparing the statements of a summary with the pages that they cite."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0008_prices")]

    operations = [
        migrations.AddField(
            model_name="response",
            name="citations",
            field=models.JSONField(
                blank=True, help_text="Of a summary: which cited statements stand on their pages", null=True
            ),
        ),
    ]
