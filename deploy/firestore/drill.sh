#!/usr/bin/env bash
# Drill a restore: the newest daily backup into a database of its own, every chain verified there, then deleted again.
# Usage: drill.sh PROJECT LOCATION DATABASE DRILL_DATABASE BACKUPS_DIRECTORY [--dry-run]
# DRILL_DATABASE begins with drill-, which is all that this script deletes. BACKUPS_DIRECTORY holds erasures.jsonl.
# Cut short, it is repeated with the same names: a database that is there is gone on with, and its RTO is not measured.
# Says rto_seconds=… and rpo_seconds=… (the backup's age); fails above RTO_SECONDS_MAX (3600).
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
# shellcheck source=operations.bash
source "$(dirname "$0")/operations.bash"
inputs "$@"
project=${given[0]:?usage: drill.sh PROJECT LOCATION DATABASE DRILL_DATABASE BACKUPS_DIRECTORY [--dry-run]}
location=${given[1]:?name the location of the backups, such as eur3}
database=${given[2]:?name the database whose backup is tried; the first of a project is "(default)"}
drill=${given[3]:?name the database of the drill, such as drill-20261130}
backups=${given[4]:?name the directory that holds erasures.jsonl}
tai=${TAI_AUTONOMICS:-tai-autonomics}
must PROJECT "$project" "$PROJECT_FORM"
must LOCATION "$location" '[a-z0-9-]+'
must DATABASE "$database" "$DATABASE_FORM"
must DRILL_DATABASE "$drill" 'drill-[a-z0-9-]{0,56}[a-z0-9]'
[ -n "$dry" ] || [ -r "$backups/erasures.jsonl" ] || misused "$backups/erasures.jsonl cannot be read"
need gcloud jq "$tai"

started=$(date +%s)
ask listed '[]' gcloud firestore backups list --project="$project" --location="$location" --format=json
newest="[.[] | select(.state == \"READY\" and (.database | endswith(\"/databases/$database\")))] | max_by(.snapshotTime)"
pick backup BACKUP "$listed" "$newest | .name" || wrong "no backup of $database in $location is ready"
pick age 0 "$listed" "$newest | .snapshotTime | sub(\"[.][0-9]+\"; \"\") | now - fromdate | floor"

ask databases '[]' gcloud firestore databases list --project="$project" --format=json
there="any(.[]; .name | endswith(\"/databases/$drill\"))"
measured=1
if already "$databases" "$there"; then
  measured=
else
  step gcloud firestore databases restore --project="$project" --destination-database="$drill" --source-backup="$backup"
fi
until_done "$project" "$drill"
step "$tai" restore --in-place --backups "$backups" --store "firestore://$project/$drill"
took=$(($(date +%s) - started))
step gcloud firestore databases delete --project="$project" --database="$drill" --quiet
if [ -n "$measured" ]; then result "rto_seconds=$took"; else result "rto_seconds=not measured, as it was gone on with"; fi
result "rpo_seconds=$age"
[ -z "$measured" ] || [ "$took" -le "${RTO_SECONDS_MAX:-3600}" ] || wrong "the restore took $took s"
