"""What Stripe is still to be told, and that customers are told of a plan that was paid back."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_checklist'),
        ('billing', '0022_usage_months'),
    ]

    operations = [
        migrations.AlterField(
            model_name='alert',
            name='kind',
            field=models.CharField(choices=[('low_balance', 'Low balance'), ('budget', 'Budget'), ('automatic_top_up', 'Automatic top-up failed'), ('dispute', 'Disputed payment'), ('plan_payment', 'Plan payment failed'), ('plan_refund', 'Plan payment sent back'), ('invoice', 'Invoice'), ('key_leaked', 'Leaked key')], max_length=20),
        ),
        migrations.CreateModel(
            name='StripeInstruction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('expire_pages', 'Expire the open payment pages'), ('expire_plan_pages', 'Expire the open pages for plans'), ('end_subscription', 'End the subscription and refund it')], max_length=20)),
                ('subject', models.CharField(help_text="Stripe's id of a customer or subscription.", max_length=120)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('done', 'Done'), ('refused', 'Refused by Stripe')], default='pending', max_length=10)),
                ('reason', models.CharField(max_length=200)),
                ('since', models.DateTimeField(help_text='Only what was paid after it is refunded; empty means all.', null=True)),
                ('refunded_nano', models.BigIntegerField(default=0)),
                ('error', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('done_at', models.DateTimeField(null=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'verbose_name': 'instruction to Stripe',
                'verbose_name_plural': 'instructions to Stripe',
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('status', 'pending')), fields=['id'], name='stripe_instruction_pending'), models.Index(fields=['subject'], name='stripe_instruction_subject')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'done'), _negated=True), fields=('kind', 'subject'), name='stripe_instruction_once')],
            },
        ),
    ]
