"""A retired secret is as much a secret as the present one: gateways hear what happens to either (promise 4)."""

from django.db import migrations

NOTIFY = """
CREATE OR REPLACE FUNCTION keys_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A mere note of last use changes nothing for a gateway.
    IF TG_OP <> 'UPDATE' OR (to_jsonb(OLD) - 'last_used_at') IS DISTINCT FROM (to_jsonb(NEW) - 'last_used_at') THEN
        PERFORM pg_notify('tokenhub_changes', 'key:' || encode(coalesce(NEW.digest, OLD.digest), 'hex'));
        IF TG_OP = 'UPDATE' THEN
            IF OLD.digest <> NEW.digest THEN
                PERFORM pg_notify('tokenhub_changes', 'key:' || encode(OLD.digest, 'hex'));
            END IF;
            PERFORM pg_notify('tokenhub_changes', 'key:' || encode(s.digest, 'hex'))
               FROM keys_retiredsecret s WHERE s.key_id = NEW.id AND s.expires_at > clock_timestamp();
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION keys_tell_of_retired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokenhub_changes', 'key:' || encode(coalesce(NEW.digest, OLD.digest), 'hex'));
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON keys_retiredsecret
    FOR EACH ROW EXECUTE FUNCTION keys_tell_of_retired();
"""
UNDO = """
DROP TRIGGER tell ON keys_retiredsecret;
DROP FUNCTION keys_tell_of_retired;
CREATE OR REPLACE FUNCTION keys_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' OR (to_jsonb(OLD) - 'last_used_at') IS DISTINCT FROM (to_jsonb(NEW) - 'last_used_at') THEN
        PERFORM pg_notify('tokenhub_changes', 'key:' || encode(coalesce(NEW.digest, OLD.digest), 'hex'));
        IF TG_OP = 'UPDATE' AND OLD.digest <> NEW.digest THEN
            PERFORM pg_notify('tokenhub_changes', 'key:' || encode(OLD.digest, 'hex'));
        END IF;
    END IF;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("keys", "0003_budgets_and_rotation")]

    operations = [migrations.RunSQL(NOTIFY, UNDO)]
