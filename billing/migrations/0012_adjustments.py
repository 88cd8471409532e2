"""Adjustments of balances: with a reason, and above a limit by two people (promise 6)."""

from pathlib import Path

import accounts.ids
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


SQL = Path(__file__).resolve().parent.parent / "sql" / "0012"
UNDO = """
DROP TRIGGER approved ON billing_transfer;
DROP TRIGGER guard ON billing_adjustment;
DROP TRIGGER never_emptied ON billing_adjustment;
DROP FUNCTION billing_guard_adjusting, billing_guard_adjustment;
ALTER TABLE billing_adjustment DROP CONSTRAINT adjustment_has_a_reason;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_last_owner'),
        ('billing', '0011_chain_plan'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='transfer',
            name='kind',
            field=models.CharField(choices=[('top_up', 'Top-up'), ('credit', 'Credit'), ('usage', 'Usage'), ('reversal', 'Reversal'), ('correction', 'Credit note'), ('refund', 'Refund'), ('dispute', 'Lost dispute'), ('adjustment', 'Adjustment')], max_length=10),
        ),
        migrations.CreateModel(
            name='Adjustment',
            fields=[
                ('id', accounts.ids.PrefixedIdField(editable=False, prefix='adj', primary_key=True, serialize=False)),
                ('amount_nano', models.BigIntegerField(help_text='Positive adds to the balance, negative takes.')),
                ('reason', models.CharField(max_length=200)),
                ('status', models.CharField(choices=[('pending', 'Waits for another person'), ('approved', 'Approved'), ('rejected', 'Rejected')], default='pending', max_length=10)),
                ('requested_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('decided_at', models.DateTimeField(null=True)),
                ('decided_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
                ('requested_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'permissions': [('decide_adjustment', "Can approve or reject another's adjustment")],
                'indexes': [models.Index(condition=models.Q(('status', 'pending')), fields=['requested_at'], name='adjustment_pending')],
                'constraints': [models.CheckConstraint(condition=models.Q(('amount_nano', 0), _negated=True), name='adjustment_of_something'), models.CheckConstraint(condition=models.Q(models.Q(('decided_at', None), ('decided_by', None), ('status', 'pending')), models.Q(('decided_at__isnull', False), ('decided_by__isnull', False), ('status__in', ['approved', 'rejected'])), _connector='OR'), name='adjustment_decided_by_somebody'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'approved'), _negated=True), models.Q(('amount_nano__gte', -100000000000), ('amount_nano__lte', 100000000000)), models.Q(('decided_by', models.F('requested_by')), _negated=True), _connector='OR'), name='adjustment_of_much_takes_two')],
            },
        ),
        migrations.RunSQL((SQL / "adjustments.sql").read_text(), UNDO),
    ]
