"""An organization that is not closed never loses its last owner, whoever tries and however many at once."""

from django.db import migrations

SQL = """
CREATE FUNCTION accounts_keep_an_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- One after the other: two owners who leave at once would each see the other.
    PERFORM 1 FROM accounts_organization WHERE id = OLD.organization_id AND status <> 'closed' FOR NO KEY UPDATE;
    IF FOUND AND NOT EXISTS (SELECT FROM accounts_membership
                              WHERE organization_id = OLD.organization_id AND role = 'owner') THEN
        RAISE EXCEPTION 'an organization needs an owner' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER keep_an_owner AFTER UPDATE OR DELETE ON accounts_membership
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.role = 'owner') EXECUTE FUNCTION accounts_keep_an_owner();
"""
UNDO = """
DROP TRIGGER keep_an_owner ON accounts_membership;
DROP FUNCTION accounts_keep_an_owner;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_invitation")]

    operations = [migrations.RunSQL(SQL, UNDO)]
