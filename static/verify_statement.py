"""Verify a TokenHub statement offline: python3 verify_statement.py statement.csv [earlier.csv]"""
import csv
import hashlib
import sys
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SIGNED = ["organization", "sequence", "kind", "debit_account", "credit_account", "amount_nano", "balance_after_nano"]

def verify(path):
    before, balance, hashes = "", 0, []
    for number, row in enumerate(csv.DictReader(open(path, newline="", encoding="utf-8")), 1):
        for name in ("reference", "description"):  # a leading quote keeps spreadsheets from calculating
            row[name] = row[name][row[name].startswith("'"):]
        at = datetime.fromisoformat(row["created_at"].replace("Z", "+00:00"))
        amount = int(row["amount_nano"])
        balance += amount if row["credit_account"] == "wallet" else -amount
        entry = [before, *(row[name] for name in SIGNED)]
        entry += [str((at - EPOCH) // timedelta(microseconds=1)), row["reference"], row["description"]]
        before = hashlib.sha256("|".join(entry).encode()).hexdigest()
        if (before, int(row["sequence"]), int(row["balance_after_nano"])) != (row["hash"], number, balance):
            sys.exit(f"{path}: entry {row['sequence']} does not follow from the entries before it")
        hashes.append(before)
    return hashes, balance

chains = [verify(path) for path in sys.argv[1:]] or sys.exit(__doc__)
if len(chains) > 1 and chains[0][0][:len(chains[1][0])] != chains[1][0]:
    sys.exit("the earlier statement is not the beginning of this one: history was changed")
entries, balance = chains[0]
print(f"{len(entries)} entries, each follows from the one before; balance {balance} nano-USD")
