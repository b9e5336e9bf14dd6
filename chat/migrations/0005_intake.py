from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0004_files"),
    ]

    operations = [
        migrations.AddField(
            model_name="attachment",
            name="checking_since",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
