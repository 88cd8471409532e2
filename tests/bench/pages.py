"""How long the log and the usage page take with a million requests, against the budgets of the design.

    python -m tests.bench.pages                     # a million requests over thirty days
    python -m tests.bench.pages --requests 100000

The pages are fetched over a socket from a console process of their own, signed in. Nothing is asserted.
"""

import argparse
import atexit
import os
import re
import statistics
import time

import httpx2

from tests import environment  # noqa: F401  (starts PostgreSQL and Redis, before Django's settings)
from tests.processes import Server

AT_ONCE = 50_000
# Page, query, and the 95th percentile it may take, in milliseconds.
PAGES = (
    ("", "", 250),
    ("requests/", "", 150),
    ("requests/", "?status=failed", 150),
    ("requests/", "?model=glm-5&provider=zai", 150),
    ("requests/", "?before={middle}", 150),
    ("requests/", "?region=nowhere", 150),
    ("usage/", "", 250),
    ("usage/", "?group=key&metric=tokens", 250),
)
# Ids carry their time, as the gateway makes them.
SEED = """
INSERT INTO billing_usage (id, organization_id, key_id, key_name, created_at, status, billed, error_code, dialect,
    modality, model_requested, model, provider, region, stream, units, lines, model_fee_nano, service_fee_nano,
    service_fee_bps, service_fee_source, total_nano, capped, price_version, attempts, routing, latency_ms, session_id)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(random()::text), 1, 15))::uuid,
       %(tenant)s, %(key)s, 'production', at, CASE WHEN bad THEN 'failed' ELSE 'succeeded' END, NOT bad,
       CASE WHEN bad THEN 'providers_failed' ELSE '' END, 'openai', 'text', model, model, provider, region, false,
       '{"input": 400, "output": 120}', '[]', fee, fee * 3 / 100, 300, 'plan:1', fee + fee * 3 / 100, false, 1,
       '[]', '{}', 300, ''
  FROM (SELECT n, now() - interval '30 days' * (n::float8 / %(all)s) AS at, n %% 37 = 0 AS bad,
               CASE WHEN n %% 37 = 0 THEN 0 ELSE 100000 + n %% 977 END::bigint AS fee,
               (ARRAY['deepseek-v3.2', 'glm-5', 'qwen-plus', 'claude-haiku-4.5'])[1 + n %% 4] AS model,
               (ARRAY['deepseek', 'zai', 'alibaba', 'anthropic'])[1 + n %% 4] AS provider,
               (ARRAY['cn', 'cn', 'sg', 'us'])[1 + n %% 4] AS region
          FROM generate_series(%(first)s::bigint, %(last)s::bigint) n) u
"""


def main() -> None:
    """Seed, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=40)
    arguments = parser.parse_args()
    slug, email, middle = _seed(arguments.requests)
    command = ["manage.py", "serve", "--role", "web", "--port", "{port}"]
    server = Server(command, {"TOKENHUB_DATABASE_POOL": "4"}, "/readyz")
    atexit.register(server.stop)
    server.start()

    with httpx2.Client(base_url=server.url, timeout=60, follow_redirects=True) as visitor:
        _sign_in(visitor, email)
        print(
            f"\n{arguments.requests:,} requests in thirty days; milliseconds over {arguments.times} visits\n"
        )
        print("| page | p50 | p95 | may take |\n|---|---|---|---|")
        for page, query, budget_ms in PAGES:
            path = f"/o/{slug}/{page}{query.format(middle=middle)}"
            took = sorted(_visit(visitor, path) for _ in range(arguments.times))
            p95 = took[min(len(took) - 1, round(0.95 * len(took)))]
            print(
                f"| /{page}{query} | {statistics.median(took):.0f} | {p95:.0f} | {budget_ms} |",
                flush=True,
            )


def _seed(requests: int) -> tuple[str, str, str]:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tokenhub.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    from billing.models import Usage
    from tests import factories

    tenant = factories.organization(credit_nano=10**12)
    person = factories.member(tenant)
    key = factories.key(tenant).key
    began_s = time.monotonic()
    with connection.cursor() as cursor:
        for first in range(1, requests + 1, AT_ONCE):
            cursor.execute(
                SEED,
                {
                    "tenant": tenant.id[4:], "key": key.id[4:], "all": requests,
                    "first": first, "last": min(first + AT_ONCE - 1, requests),
                },
            )  # fmt: skip
        cursor.execute("ANALYZE")
    print(f"seeded {requests:,} requests in {time.monotonic() - began_s:.0f} s", flush=True)
    middle = Usage.objects.for_organization(tenant)[requests // 2]
    connection.close()
    return tenant.slug, person.email, middle.id


def _sign_in(visitor: httpx2.Client, email: str) -> None:
    from tests.factories import PASSWORD

    page = visitor.get("/accounts/login/").text
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found
    form = {"csrfmiddlewaretoken": found.group(1), "login": email, "password": PASSWORD}
    assert visitor.post("/accounts/login/", data=form).status_code == 200


def _visit(visitor: httpx2.Client, path: str) -> float:
    began_s = time.perf_counter()
    answer = visitor.get(path)
    took_ms = (time.perf_counter() - began_s) * 1000
    assert answer.status_code == 200, f"{path}: {answer.status_code}"
    return took_ms


if __name__ == "__main__":
    main()
