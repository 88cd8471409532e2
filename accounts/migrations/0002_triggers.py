"""The audit trail is append-only, and gateways hear at once of a suspended organization (promises 4 and 5)."""

from django.db import migrations

SQL = """
CREATE FUNCTION accounts_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_refuse_change();

CREATE FUNCTION accounts_tell_organization() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokenhub_changes', 'organization:' || OLD.id);
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER UPDATE OF status OR DELETE ON accounts_organization
    FOR EACH ROW EXECUTE FUNCTION accounts_tell_organization();
"""
UNDO = """
DROP TRIGGER append_only ON accounts_auditevent;
DROP TRIGGER tell ON accounts_organization;
DROP FUNCTION accounts_refuse_change, accounts_tell_organization;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunSQL(SQL, UNDO)]
