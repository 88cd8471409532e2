#!/bin/sh
# Make a data directory from a backup and the archive, as everything was at an instant. Start PostgreSQL on it: it reads the
# archive up to there, and then takes writes on a timeline of its own.
#   deploy/postgres/restore.sh /backups/20260101T000000.0Z /archive "2026-01-01 09:30:00+00" /var/lib/postgresql/restored
# Without an instant (""), everything that was archived comes back.
set -eu
[ $# -eq 4 ] || { echo "usage: $0 BACKUP ARCHIVE INSTANT DATA_DIRECTORY" >&2; exit 2; }
backup=$1 archive=$2 instant=$3 target=$4
[ -f "$backup/backup_manifest" ] || { echo "$backup is no backup." >&2; exit 1; }
[ ! -e "$target" ] || { echo "$target exists; nothing is overwritten." >&2; exit 1; }

"$(dirname "$0")/verify.sh" "$backup"
cp -a "$backup" "$target"
chmod 700 "$target"
{
    echo "restore_command = 'cp \"$archive/%f\" \"%p\"'"
    if [ -n "$instant" ]; then echo "recovery_target_time = '$instant'"; fi
    echo "recovery_target_action = 'promote'"
    # Until the books are audited, the new one must not write into the archive of the old.
    echo "archive_mode = 'off'"
} >>"$target/postgresql.auto.conf"
touch "$target/recovery.signal"
echo "$target"
