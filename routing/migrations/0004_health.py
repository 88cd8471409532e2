"""Health of offerings, told to the gateways when it changes (R10)."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


TELL = """
CREATE FUNCTION routing_tell_health() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokenhub_changes', 'health');
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER UPDATE ON routing_offeringhealth
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION routing_tell_health();
CREATE TRIGGER tell_new AFTER INSERT ON routing_offeringhealth
    FOR EACH ROW WHEN (NEW.status <> 'healthy') EXECUTE FUNCTION routing_tell_health();
CREATE TRIGGER tell_gone AFTER DELETE ON routing_offeringhealth
    FOR EACH ROW WHEN (OLD.status <> 'healthy') EXECUTE FUNCTION routing_tell_health();
"""
UNDO = """
DROP TRIGGER tell ON routing_offeringhealth;
DROP TRIGGER tell_new ON routing_offeringhealth;
DROP TRIGGER tell_gone ON routing_offeringhealth;
DROP FUNCTION routing_tell_health;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0003_plan_model_regions'),
    ]

    operations = [
        migrations.CreateModel(
            name='HealthSample',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('source', models.CharField(choices=[('probe', 'Probe'), ('gateway', 'Real calls')], max_length=8)),
                ('successes', models.PositiveIntegerField()),
                ('failures', models.PositiveIntegerField()),
                ('outcome', models.CharField(blank=True, help_text='How the last failure failed.', max_length=40)),
                ('latency_ms', models.PositiveIntegerField(null=True)),
            ],
            options={
                'ordering': ['-at'],
            },
        ),
        migrations.CreateModel(
            name='OfferingHealth',
            fields=[
                ('offering', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='health', serialize=False, to='routing.offering')),
                ('status', models.CharField(choices=[('healthy', 'Healthy'), ('degraded', 'Degraded'), ('down', 'Down')], default='healthy', max_length=8)),
                ('since', models.DateTimeField(default=django.utils.timezone.now)),
                ('reason', models.CharField(blank=True, max_length=80)),
                ('failures', models.PositiveIntegerField(default=0, help_text='In a row, towards a step down.')),
                ('successes', models.PositiveIntegerField(default=0, help_text='In a row, towards a step up.')),
                ('latency_ms', models.PositiveIntegerField(help_text='To the first content, the median of the last real calls.', null=True)),
                ('tokens_per_s', models.FloatField(help_text='The median of the last real calls.', null=True)),
                ('recent_latency_ms', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), default=list, size=None)),
                ('recent_tokens_per_s', django.contrib.postgres.fields.ArrayField(base_field=models.FloatField(), default=list, size=None)),
                ('last_probe_at', models.DateTimeField(null=True)),
                ('last_probe_ms', models.PositiveIntegerField(null=True)),
                ('last_probe_outcome', models.CharField(blank=True, max_length=40)),
                ('last_observed_at', models.DateTimeField(help_text='By a gateway, in a real call.', null=True)),
                ('last_failed_at', models.DateTimeField(help_text='Likewise.', null=True)),
                ('next_probe_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'verbose_name': "offering's health",
                'verbose_name_plural': 'health of offerings',
                'ordering': ['offering'],
            },
        ),
        migrations.AddField(
            model_name='offering',
            name='probe_every_s',
            field=models.PositiveIntegerField(db_default=60, default=60, help_text='Seconds between two probes while it is healthy; sooner while it is not.', validators=[django.core.validators.MinValueValidator(5)], verbose_name='probe every (s)'),
        ),
        migrations.AddConstraint(
            model_name='offering',
            constraint=models.CheckConstraint(condition=models.Q(('probe_every_s__gte', 5)), name='offering_probe_not_too_often'),
        ),
        migrations.AddField(
            model_name='healthsample',
            name='offering',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='samples', to='routing.offering'),
        ),
        migrations.AddIndex(
            model_name='offeringhealth',
            index=models.Index(fields=['next_probe_at'], name='health_next_probe'),
        ),
        migrations.AddConstraint(
            model_name='offeringhealth',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['healthy', 'degraded', 'down'])), name='health_status_known'),
        ),
        migrations.AddConstraint(
            model_name='offeringhealth',
            constraint=models.CheckConstraint(condition=models.Q(('failures', 0), ('successes', 0), _connector='OR'), name='health_one_run_at_a_time'),
        ),
        migrations.AddIndex(
            model_name='healthsample',
            index=models.Index(fields=['offering', '-at'], name='health_sample_of_offering'),
        ),
        migrations.AddIndex(
            model_name='healthsample',
            index=models.Index(fields=['at'], name='health_sample_at'),
        ),
        migrations.AddConstraint(
            model_name='healthsample',
            constraint=models.CheckConstraint(condition=models.Q(('source__in', ['probe', 'gateway'])), name='health_sample_source_known'),
        ),
        migrations.RunSQL(TELL, UNDO),
    ]
