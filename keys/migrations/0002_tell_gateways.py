"""Every change of a key is told to all gateway processes at commit, so a revocation takes effect at once."""

from django.db import migrations

NOTIFY = """
CREATE FUNCTION keys_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A mere note of last use changes nothing for a gateway.
    IF TG_OP <> 'UPDATE' OR (to_jsonb(OLD) - 'last_used_at') IS DISTINCT FROM (to_jsonb(NEW) - 'last_used_at') THEN
        PERFORM pg_notify('tokenhub_changes', 'key:' || encode(coalesce(NEW.digest, OLD.digest), 'hex'));
        IF TG_OP = 'UPDATE' AND OLD.digest <> NEW.digest THEN
            PERFORM pg_notify('tokenhub_changes', 'key:' || encode(OLD.digest, 'hex'));
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON keys_apikey
    FOR EACH ROW EXECUTE FUNCTION keys_tell();
"""


class Migration(migrations.Migration):
    dependencies = [("keys", "0001_initial")]

    operations = [
        migrations.RunSQL(NOTIFY, "DROP TRIGGER tell ON keys_apikey; DROP FUNCTION keys_tell;"),
    ]
