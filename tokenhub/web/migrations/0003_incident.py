"""Incidents, opened and closed by the health of offerings (R12)."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('web', '0002_legal_texts'),
    ]

    operations = [
        migrations.CreateModel(
            name='Incident',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('provider', models.CharField(max_length=60)),
                ('name', models.CharField(help_text="The provider's, as it was then.", max_length=80)),
                ('modality', models.CharField(max_length=12)),
                ('regions', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=60), default=list, size=None)),
                ('whole', models.BooleanField(default=False, help_text='None of its models of this kind answered.', verbose_name='all of them')),
                ('reason', models.CharField(blank=True, help_text='For operators only.', max_length=80)),
                ('opened_at', models.DateTimeField()),
                ('closed_at', models.DateTimeField(null=True)),
                ('announcement', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='incidents', to='web.announcement')),
            ],
            options={
                'ordering': ['-opened_at'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('closed_at', None)), fields=('provider', 'modality'), name='incident_open_once'), models.CheckConstraint(condition=models.Q(('closed_at', None), ('closed_at__gte', models.F('opened_at')), _connector='OR'), name='incident_ends_after_it_began')],
            },
        ),
    ]
