#!/usr/bin/env bash
# Clone a database as of a moment of the last 7 days into a new one (point-in-time recovery); then: ./fit.sh
# Usage: clone.sh PROJECT DATABASE MOMENT NEW_DATABASE [--dry-run]
# MOMENT: a whole minute in UTC, as 2026-11-24T02:30:00Z, before the mistake that is to be undone.
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
# shellcheck source=operations.bash
source "$(dirname "$0")/operations.bash"
inputs "$@"
project=${given[0]:?usage: clone.sh PROJECT DATABASE MOMENT NEW_DATABASE [--dry-run]}
source=${given[1]:?name the database to clone}
moment=${given[2]:?name the moment, a whole minute such as 2026-11-24T02:30:00Z}
database=${given[3]:?name the new database}
need gcloud jq

step gcloud firestore databases clone --project="$project" --destination-database="$database" \
  --source-database="projects/$project/databases/$source" --snapshot-time="$moment"
until_done "$project" "$database"
step gcloud firestore databases update --project="$project" --database="$database" --enable-pitr --delete-protection
result "cloned into $database; next: ./fit.sh $project $database BACKUPS_DIRECTORY"
