"""Refunds and orders that wait for Stripe take turns, as top-ups do."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0025_mail_again")]

    operations = [
        migrations.AddField(
            model_name="refund",
            name="asked_at",
            field=models.DateTimeField(help_text="When Stripe was last asked for it.", null=True),
        ),
        migrations.AddField(
            model_name="stripeinstruction",
            name="asked_at",
            field=models.DateTimeField(
                help_text="When Stripe was last asked to do it.", null=True
            ),
        ),
    ]
