"""Further credentials of an endpoint, and the alarm when a provider refuses one (ADVERSARIES R5)."""

import accounts.encryption
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


TELL = """
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON routing_sparecredential
    FOR EACH STATEMENT EXECUTE FUNCTION routing_tell_catalogue();
CREATE TRIGGER tell AFTER INSERT OR DELETE OR UPDATE OF cleared_at ON routing_credentialalarm
    FOR EACH STATEMENT EXECUTE FUNCTION routing_tell_catalogue();
"""
UNDO = """
DROP TRIGGER tell ON routing_sparecredential;
DROP TRIGGER tell ON routing_credentialalarm;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('routing', '0004_health'),
    ]

    operations = [
        migrations.CreateModel(
            name='SpareCredential',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField(default=1)),
                ('label', models.CharField(blank=True, help_text='For operators: whose it is.', max_length=60)),
                ('secret', accounts.encryption.EncryptedTextField(help_text='Encrypted at rest; it can be replaced but never read back.')),
                ('enabled', models.BooleanField(default=True)),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='spare_credentials', to='routing.endpoint')),
            ],
            options={
                'ordering': ['endpoint', 'position', 'id'],
            },
        ),
        migrations.CreateModel(
            name='CredentialAlarm',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fingerprint', models.CharField(max_length=12)),
                ('status', models.PositiveSmallIntegerField(help_text='What the provider answered.')),
                ('first_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('last_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('mailed_at', models.DateTimeField(null=True)),
                ('cleared_at', models.DateTimeField(help_text='It works again, or was replaced.', null=True)),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='alarms', to='routing.endpoint')),
            ],
            options={
                'ordering': ['-first_at'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('cleared_at', None)), fields=('endpoint', 'fingerprint'), name='credential_alarm_open_once')],
            },
        ),
        migrations.RunSQL(TELL, UNDO),
    ]
