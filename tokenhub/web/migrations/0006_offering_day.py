"""How each model's attempts ended, by provider, region and day."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('web', '0005_incident_region_slugs'),
    ]

    operations = [
        migrations.CreateModel(
            name='OfferingDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model', models.CharField(max_length=120)),
                ('provider', models.CharField(max_length=60)),
                ('region', models.CharField(max_length=20)),
                ('day', models.DateField()),
                ('attempts', models.BigIntegerField()),
                ('failures', models.BigIntegerField()),
            ],
            options={
                'ordering': ['model', 'provider', 'region', 'day'],
                'constraints': [models.UniqueConstraint(fields=('model', 'provider', 'region', 'day'), name='offering_day_unique'), models.CheckConstraint(condition=models.Q(('failures__lte', models.F('attempts'))), name='offering_day_possible')],
            },
        ),
    ]
