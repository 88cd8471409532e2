"""``python -m tests.chaos``: kill everything in a loop for as long as wanted, then read the books."""

import argparse
import random
import sys
import time

from tests.chaos.away import Outage
from tests.chaos.deployment import Deployment
from tests.chaos.monkey import Run


def main() -> None:
    """Read the command line and run; exit 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--away", nargs=2, action="append", default=[], metavar=("SERVICE", "SECONDS"),
        help="afterwards, take postgres or redis away for so long; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--silent", nargs=2, action="append", default=[], metavar=("SERVICE", "SECONDS"),
        help="likewise, but it is there and says nothing",
    )  # fmt: skip
    arguments = parser.parse_args()
    deployment = Deployment()
    try:
        run = Run(deployment, arguments.seed)
        verdict = run.rounds(
            until_s=time.monotonic() + arguments.minutes * 60,
            outages=[
                *(Outage(name, float(seconds)) for name, seconds in arguments.away),
                *(Outage(name, float(seconds), silent=True) for name, seconds in arguments.silent),
            ],
        )
    finally:
        deployment.stop()
    print(f"killed: {dict(run.kills)}\n{verdict}")
    sys.exit(1 if verdict.faults else 0)


main()
