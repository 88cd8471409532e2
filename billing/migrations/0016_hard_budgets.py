"""Budgets of keys and of an organization's month that no number of gateway processes can exceed.

A budget is drawn from in shares as a balance is in leases; what was spent is what the usage says.
"""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"
UNDO = """
DROP TRIGGER tell ON billing_budget;
DROP TRIGGER let_go_shares ON billing_mediatask;
DROP FUNCTION billing_draw_budget, billing_return_budget, billing_reap_budgets, billing_over_budget,
    billing_spend_budgets, billing_shared_out, billing_spent, billing_let_go_task_shares;
ALTER TYPE billing_result DROP ATTRIBUTE budget_leases;
"""


def before(path: str) -> str:
    """The function as an earlier file has it, without what else is in there."""
    text = (SQL / path).read_text()
    return text[text.index("-- Record and charge a group") :]


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_budget_leases")]

    operations = [
        migrations.RunSQL((SQL / "0016" / "result.sql").read_text(), migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "0016" / "budgets.sql").read_text(), UNDO),
        migrations.RunSQL((SQL / "0016" / "settle.sql").read_text(), before("0007/settle.sql")),
    ]
