#!/usr/bin/env bash
# Bring the list of erasures up to date and put it into a bucket: what keeps erased parts erased after a restore.
# Let a timer run it, every 15 minutes or after every erasure. The bucket keeps versions, and nobody may delete there.
# Usage: erasures.sh PROJECT DATABASE gs://BUCKET/FOLDER [--dry-run]
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
inputs "$@"
project=${given[0]:?usage: erasures.sh PROJECT DATABASE gs://BUCKET/FOLDER [--dry-run]}
database=${given[1]:?name the database; the first of a project is "(default)"}
folder=${given[2]:?name the folder: gs://BUCKET/FOLDER}
tai=${TAI_AUTONOMICS:-tai-autonomics}
need gcloud "$tai"

backups=KEPT
if [ -z "$dry" ]; then
  backups=$(mktemp -d)
  trap 'rm -rf "$backups"' EXIT
fi
# What is on the list already, so that it only ever grows; the first time there is none. Where it only could not be seen, the
# new one is not put in its place: generation 0 is of what is not there.
first=1
if step gcloud storage ls "$folder/erasures.jsonl"; then
  step gcloud storage cp "$folder/erasures.jsonl" "$backups/erasures.jsonl"
  first=
fi
step "$tai" backup --erasures-only --backups "$backups" --store "firestore://$project/$database"
step gcloud storage cp "$backups/erasures.jsonl" "$folder/erasures.jsonl" ${first:+--if-generation-match=0}
