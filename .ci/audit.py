"""Known vulnerabilities of the locked packages. Exit 0: none; 1: some; 2: nobody could be asked, which is not none."""

import json
import subprocess
import sys
from typing import Any

NONE, SOME, UNKNOWN = 0, 1, 2


def verdict(report: dict[str, Any] | None) -> tuple[int, list[str]]:
    """The exit code of a report of pip-audit's, and what to say."""
    packages = report.get("dependencies", []) if report else []
    if not packages:
        return UNKNOWN, ["The advisory service could not be asked."]
    known = [
        f"{package['name']} {package['version']}: {flaw['id']}, fixed in "
        + (", ".join(flaw["fix_versions"]) or "no version yet")
        for package in packages
        for flaw in package.get("vulns", [])
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if known:
        return SOME, known
    if unknown:
        return UNKNOWN, [
            f"The advisory service knew nothing of {len(unknown)} of {len(packages)} packages."
        ]
    return NONE, [f"No known vulnerability in {len(packages)} packages."]


def main() -> int:
    """Ask about every package of the lock file."""
    asked = subprocess.run(
        [
            sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--format", "json",
            "--progress-spinner", "off", "--requirement", "requirements.lock",
        ],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    try:
        report = json.loads(asked.stdout)
    except json.JSONDecodeError:
        report = None
    code, words = verdict(report)
    print("\n".join(words))
    if code == UNKNOWN:
        print("Nothing was audited: run this where the service can be reached.", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
