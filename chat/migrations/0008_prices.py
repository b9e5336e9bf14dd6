"""What tokens cost, and what an answer has cost."""

import django.core.validators
from django.db import migrations, models


def price(help_text):
    return models.DecimalField(
        blank=True,
        decimal_places=6,
        help_text=help_text,
        max_digits=12,
        null=True,
        validators=[django.core.validators.MinValueValidator(0)],
    )


class Migration(migrations.Migration):
    dependencies = [("chat", "0007_summary")]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="input_price",
            field=price("Of a million tokens that the model reads."),
        ),
        migrations.AddField(
            model_name="deployment",
            name="cached_input_price",
            field=price("Of those that it read before and the provider kept at hand. Empty: as other input."),
        ),
        migrations.AddField(
            model_name="deployment",
            name="output_price",
            field=price("Of a million tokens that it writes, reasoning included."),
        ),
        migrations.AddField(
            model_name="response",
            name="cost",
            field=models.DecimalField(
                blank=True,
                decimal_places=8,
                help_text="Of these tokens, at the prices that the deployment had when they were used",
                max_digits=18,
                null=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                condition=models.Q(cached_input_price=None, input_price=None, output_price=None)
                | models.Q(input_price__isnull=False, output_price__isnull=False),
                name="prices_are_known_together",
                violation_error_message="Give the prices of both input and output, or no price at all.",
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                condition=models.Q(cached_input_price__gte=0, input_price__gte=0, output_price__gte=0),
                name="no_price_is_below_zero",
            ),
        ),
    ]
