#!/bin/sh
# A verified base backup of the PostgreSQL at DATABASE_URL, as the folder BACKUPS/<instant>; prints its name.
# With the archive of WAL it restores to any instant after itself (restore.sh).
#   DATABASE_URL=postgres://replicator@host/tokenhub BACKUPS=/backups KEEP=7 deploy/postgres/backup.sh
set -eu
: "${DATABASE_URL:?the database to back up, as a role with REPLICATION}" "${BACKUPS:?the folder for backups}"

name=$(date -u +%Y%m%dT%H%M%S.%NZ)
draft="$BACKUPS/.$name.part"
trap 'rm -rf "$draft"' EXIT
pg_basebackup --dbname="$DATABASE_URL" --pgdata="$draft" --wal-method=stream --checkpoint=fast --manifest-checksums=SHA256
"$(dirname "$0")/verify.sh" "$draft"
# A backup has its name only once it is whole and verified.
mv "$draft" "$BACKUPS/$name"
echo "$BACKUPS/$name"

# The oldest go; the archive before the oldest that stays goes with them (pg_archivecleanup, docs/operations.md).
for old in $(ls -1 "$BACKUPS" | sort | head -n "-${KEEP:-7}"); do
    rm -rf "${BACKUPS:?}/$old"
done
