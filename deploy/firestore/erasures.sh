#!/usr/bin/env bash
# Bring the list of erasures up to date and put it into a bucket: what keeps erased parts erased after a restore.
# Let a timer run it, every 15 minutes or after every erasure. The bucket keeps versions, and nobody may delete there.
# Usage: erasures.sh PROJECT DATABASE gs://BUCKET/FOLDER
set -euo pipefail
project=${1:?usage: erasures.sh PROJECT DATABASE gs://BUCKET/FOLDER}
database=${2:?name the database; the first of a project is "(default)"}
folder=${3:?name the folder: gs://BUCKET/FOLDER}
tai=${TAI_AUTONOMICS:-tai-autonomics}

backups=$(mktemp -d)
trap 'rm -rf "$backups"' EXIT
# What is on the list already, so that it only ever grows; the first time there is none. Where it only could not be seen, the
# new one is not put in its place: generation 0 is of what is not there.
first=1
if gcloud storage ls "$folder/erasures.jsonl" >/dev/null 2>&1; then
  gcloud storage cp "$folder/erasures.jsonl" "$backups/erasures.jsonl"
  first=
fi
"$tai" backup --erasures-only --backups "$backups" --store "firestore://$project/$database"
gcloud storage cp "$backups/erasures.jsonl" "$folder/erasures.jsonl" ${first:+--if-generation-match=0}
