"""The three plans (R2), and word to the gateways when a plan or an organization's terms change."""

from django.db import migrations

PLANS = [
    # slug, name, rank, rpm, fee_bps, sla, support_response, compliance_extension
    ("starter", "Starter", 1, 600, 300, "99.5 % monthly", "Two business days", False),
    ("pro", "Pro", 2, 6_000, 300, "99.9 % monthly", "Eight hours", False),
    ("enterprise", "Enterprise", 3, 60_000, 300, "99.95 % monthly", "One hour, day and night", True),
]
FIELDS = ("slug", "name", "rank", "rpm", "fee_bps", "sla", "support_response", "compliance_extension")

NOTIFY = """
CREATE FUNCTION billing_tell_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokenhub_changes', 'organization:' || coalesce(NEW.organization_id, OLD.organization_id));
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON billing_terms
    FOR EACH ROW EXECUTE FUNCTION billing_tell_terms();
CREATE FUNCTION billing_tell_plans() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokenhub_changes', 'plans');
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON billing_plan
    FOR EACH STATEMENT EXECUTE FUNCTION billing_tell_plans();
"""
UNDO = """
DROP TRIGGER tell ON billing_terms;
DROP TRIGGER tell ON billing_plan;
DROP FUNCTION billing_tell_terms, billing_tell_plans;
"""


def add_plans(apps, schema_editor):
    Plan = apps.get_model("billing", "Plan")
    for row in PLANS:
        values = dict(zip(FIELDS, row, strict=True))
        Plan.objects.get_or_create(slug=values.pop("slug"), defaults=values)


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_ledger")]

    operations = [
        migrations.RunPython(add_plans, migrations.RunPython.noop),
        migrations.RunSQL(NOTIFY, UNDO),
    ]
