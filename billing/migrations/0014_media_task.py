"""Media tasks: the table, what keeps it, and how a task is opened and ended (promises 1 and 2)."""

from pathlib import Path

import accounts.ids
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


SQL = Path(__file__).resolve().parent.parent / "sql" / "0014"
UNDO = """
DROP FUNCTION billing_finish_task, billing_open_task, billing_begin_task;
DROP TYPE billing_task_end;
DROP TRIGGER guard ON billing_mediatask;
DROP TRIGGER never_emptied ON billing_mediatask;
DROP FUNCTION billing_guard_task;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_last_owner'),
        ('billing', '0013_notifications'),
    ]

    operations = [
        migrations.CreateModel(
            name='MediaTask',
            fields=[
                ('id', accounts.ids.PrefixedIdField(editable=False, prefix='task', primary_key=True, serialize=False)),
                ('key_id', models.UUIDField()),
                ('key_name', models.CharField(max_length=80)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('running', 'Running'), ('succeeded', 'Succeeded'), ('failed', 'Failed')], default='pending', max_length=10)),
                ('shape', models.CharField(help_text='The dialect the client asked in.', max_length=20)),
                ('modality', models.CharField(default='video', max_length=12)),
                ('model_requested', models.CharField(max_length=160)),
                ('model', models.CharField(blank=True, max_length=120)),
                ('provider', models.CharField(blank=True, max_length=60)),
                ('region', models.CharField(blank=True, max_length=20)),
                ('dialect', models.CharField(blank=True, help_text='Of the provider.', max_length=12)),
                ('offering', models.BigIntegerField(help_text='How the provider is reached again.', null=True)),
                ('upstream_id', models.CharField(blank=True, help_text="The provider's name for it; empty until it has one.", max_length=200)),
                ("credential", models.CharField(blank=True, help_text="Fingerprint of the one that began it: it may be asked for with no other.", max_length=12)),
                ('seconds', models.IntegerField()),
                ('resolution', models.CharField(help_text='720p or 1080p, as it is priced.', max_length=10)),
                ('size', models.CharField(blank=True, help_text='As the client asked for it.', max_length=20)),
                ('price_version', models.BigIntegerField(null=True)),
                ('price', models.JSONField(default=dict, help_text='Nano-USD by unit, from the decision on.')),
                ('service_fee_bps', models.IntegerField(default=0)),
                ('service_fee_source', models.CharField(blank=True, max_length=40)),
                ('hold_nano', models.BigIntegerField(help_text='The most that any provider tried could charge.')),
                ('quoted_nano', models.BigIntegerField(default=0, help_text='What a success costs, at most.')),
                ('total_nano', models.BigIntegerField(default=0, help_text='What was charged.')),
                ('attempts', models.JSONField(default=list)),
                ('routing', models.JSONField(default=dict)),
                ('session_id', models.CharField(blank=True, max_length=200)),
                ('deadline_at', models.DateTimeField()),
                ('next_poll_at', models.DateTimeField()),
                ('polls', models.IntegerField(default=0)),
                ('finished_at', models.DateTimeField(null=True)),
                ('error_code', models.CharField(blank=True, max_length=40)),
                ('error_message', models.CharField(blank=True, max_length=500)),
                ('media_url', models.TextField(blank=True)),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organization')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('status__in', ['pending', 'running'])), fields=['next_poll_at'], name='mediatask_open_by_poll'), models.Index(fields=['organization', '-id'], name='mediatask_by_tenant')],
                'constraints': [models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'running', 'succeeded', 'failed'])), name='mediatask_status_known'), models.CheckConstraint(condition=models.Q(('hold_nano__gt', 0), ('total_nano__gte', 0), ('quoted_nano__gte', 0), ('quoted_nano__lte', models.F('hold_nano')), ('total_nano__lte', models.F('quoted_nano'))), name='mediatask_charges_at_most_the_quote'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('status__in', ['pending', 'running'])), models.Q(('finished_at__isnull', False), ('status__in', ['succeeded', 'failed'])), _connector='OR'), name='mediatask_finished_when_ended'), models.CheckConstraint(condition=models.Q(('status', 'succeeded'), models.Q(('media_url', ''), ('total_nano', 0)), _connector='OR'), name='mediatask_only_success_is_charged'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'running'), _negated=True), models.Q(('upstream_id', ''), _negated=True), _connector='OR'), name='mediatask_runs_somewhere'), models.CheckConstraint(condition=models.Q(('seconds__gt', 0)), name='mediatask_has_a_length')],
            },
        ),
        migrations.RunSQL((SQL / "draw.sql").read_text(), migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "tasks.sql").read_text(), UNDO),
    ]
