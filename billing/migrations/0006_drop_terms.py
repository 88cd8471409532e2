"""What the versions and agreements of 0004 replace."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_plan_versions")]

    operations = [
        migrations.RemoveField(
            model_name='terms',
            name='organization',
        ),
        migrations.RemoveField(
            model_name='terms',
            name='plan',
        ),
        migrations.RemoveConstraint(
            model_name='plan',
            name='plan_rpm_positive',
        ),
        migrations.RemoveConstraint(
            model_name='plan',
            name='plan_fee_at_most_all',
        ),
        migrations.RemoveField(
            model_name='plan',
            name='compliance_extension',
        ),
        migrations.RemoveField(
            model_name='plan',
            name='fee_bps',
        ),
        migrations.RemoveField(
            model_name='plan',
            name='rpm',
        ),
        migrations.RemoveField(
            model_name='plan',
            name='sla',
        ),
        migrations.RemoveField(
            model_name='plan',
            name='support_response',
        ),
        migrations.DeleteModel(
            name='Terms',
        ),
    ]
