"""The connection of the group commit, broken at the instant that is hardest to notice."""

import asyncio
import os
import signal
import time

import psycopg
import pytest
import uvloop

from tokenhub.gateway.statement import PreparedLink


@pytest.mark.usefixtures("committed")
def test_a_server_that_ends_with_a_question_unread_is_noticed_at_once(
    gateway_environ: dict[str, str],
) -> None:
    url = gateway_environ["DATABASE_URL"]

    async def run() -> float:
        link = PreparedLink(url, "ends")
        pid = int((await link.fetch("SELECT pg_backend_pid()"))[0][0])
        os.kill(pid, signal.SIGSTOP)
        asked = asyncio.ensure_future(link.fetch("SELECT pg_backend_pid()"))
        await asyncio.sleep(0.05)  # it is on its way
        with psycopg.connect(url) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [pid])
        began_s = time.monotonic()
        os.kill(pid, signal.SIGCONT)
        while os.path.exists(f"/proc/{pid}"):
            time.sleep(0.001)  # farewell and end of the connection are noticed in one
        assert int((await asked)[0][0]) != pid
        await link.close()
        return time.monotonic() - began_s

    # Not when its statement is given up.
    assert uvloop.run(run()) < 5
