"""What operators did in the admin is history: it is neither changed nor deleted, whoever asks."""

from django.db import migrations

# By row: deleting a person deletes their entries, and one who has none may go.
TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON django_admin_log
    FOR EACH ROW EXECUTE FUNCTION accounts_refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON django_admin_log
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_refuse_change();
"""
UNDO = """
DROP TRIGGER append_only ON django_admin_log;
DROP TRIGGER never_emptied ON django_admin_log;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("operations", "0001_initial"),
        ("accounts", "0002_triggers"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]

    operations = [
        migrations.RunSQL(TRIGGER, UNDO),
    ]
