"""Every change of the catalogue or of preferences is told to the gateways at commit; prices in force never change.

Keeps promise 3 (a stricter boundary counts at once, whoever wrote it) and promise 6 (a charge can
always be explained by the price it was made at).
"""

from django.db import migrations

CATALOGUE = ["region", "provider", "endpoint", "model", "offering", "price", "pricecomponent", "planmodel"]

FUNCTIONS = """
CREATE FUNCTION routing_tell_catalogue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokenhub_changes', 'catalogue');
    RETURN NULL;
END $$;

CREATE FUNCTION routing_tell_preferences() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokenhub_changes', 'organization:' || coalesce(NEW.organization_id, OLD.organization_id));
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON routing_preferences
    FOR EACH ROW EXECUTE FUNCTION routing_tell_preferences();

CREATE FUNCTION routing_guard_price() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    effective timestamptz;
BEGIN
    IF TG_TABLE_NAME = 'routing_price' THEN
        effective := OLD.effective_from;
    ELSE
        SELECT effective_from INTO effective FROM routing_price WHERE id = OLD.price_id;
    END IF;
    IF effective <= clock_timestamp() THEN
        RAISE EXCEPTION 'a price in force is never changed: add a new version'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON routing_price
    FOR EACH ROW EXECUTE FUNCTION routing_guard_price();
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON routing_pricecomponent
    FOR EACH ROW EXECUTE FUNCTION routing_guard_price();
"""
UNDO = """
DROP TRIGGER guard ON routing_price;
DROP TRIGGER guard ON routing_pricecomponent;
DROP TRIGGER tell ON routing_preferences;
DROP FUNCTION routing_guard_price, routing_tell_preferences, routing_tell_catalogue;
"""


def tell(table):
    return migrations.RunSQL(
        f"CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON routing_{table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION routing_tell_catalogue()",
        f"DROP TRIGGER tell ON routing_{table}",
    )


class Migration(migrations.Migration):
    dependencies = [("routing", "0001_initial")]

    operations = [migrations.RunSQL(FUNCTIONS, UNDO), *(tell(table) for table in CATALOGUE)]
