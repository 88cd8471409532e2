#!/bin/sh
# Whether every file of a backup is there as its manifest says. By pg_verifybackup; where that is not installed, by checksums alone.
set -eu
backup=$1
if pg_verifybackup --version >/dev/null 2>&1; then
    exec pg_verifybackup --quiet "$backup"
fi
sums=$(mktemp)
trap 'rm -f "$sums"' EXIT
sed -n 's/.*"Path": "\([^"]*\)".*"Checksum-Algorithm": "SHA256", "Checksum": "\([0-9a-f]*\)".*/\2  \1/p' "$backup/backup_manifest" >"$sums"
[ "$(wc -l <"$sums")" -eq "$(grep -c '"Checksum-Algorithm"' "$backup/backup_manifest")" ] || { echo "The manifest is not understood." >&2; exit 1; }
cd "$backup"
sha256sum --check --quiet --strict "$sums"
