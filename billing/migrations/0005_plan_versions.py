"""The plans as first versions, what organizations were on, and the rules of the timelines in PostgreSQL."""

from datetime import UTC, datetime
from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "0005"
USD = 1_000_000_000
# slug: concurrency, monthly price in nano-USD (None: by agreement)
ADDED = {"starter": (50, 0), "pro": (500, 49 * USD), "enterprise": (5_000, None)}

UNDO = """
DROP TRIGGER tell ON billing_subscription;
DROP TRIGGER tell ON billing_agreement;
DROP TRIGGER tell ON billing_planversion;
DROP TRIGGER guard ON billing_subscription;
DROP TRIGGER guard ON billing_agreement;
DROP TRIGGER guard ON billing_planversion;
DROP FUNCTION billing_guard_timeline, billing_guard_plan_version, billing_terms_at;
"""


def carry_over(apps, schema_editor):
    Plan, Terms = apps.get_model("billing", "Plan"), apps.get_model("billing", "Terms")
    Version, Subscription, Agreement = (
        apps.get_model("billing", name) for name in ("PlanVersion", "Subscription", "Agreement")
    )
    for plan in Plan.objects.all():
        concurrency, price_nano = ADDED.get(plan.slug, (50, None))
        Version.objects.get_or_create(
            plan=plan,
            effective_from=datetime(2026, 1, 1, tzinfo=UTC),
            defaults={
                "rpm": plan.rpm, "concurrency": concurrency, "monthly_price_nano": price_nano,
                "fee_bps": plan.fee_bps, "sla": plan.sla, "support_response": plan.support_response,
                "compliance_extension": plan.compliance_extension,
            },
        )
    for terms in Terms.objects.all():
        if terms.plan_id != "starter":
            Subscription.objects.create(
                organization_id=terms.organization_id, plan_id=terms.plan_id, source="operator"
            )
        if terms.fee_bps is not None or terms.rpm is not None:
            Agreement.objects.create(
                organization_id=terms.organization_id, fee_bps=terms.fee_bps, rpm=terms.rpm,
                agreed_by="carried over", reference="carried over",
            )


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_money")]

    operations = [
        migrations.RunPython(carry_over, migrations.RunPython.noop),
        migrations.RunSQL((SQL / "plans.sql").read_text(), UNDO),
    ]
