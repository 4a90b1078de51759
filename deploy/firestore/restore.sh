#!/usr/bin/env bash
# Restore a scheduled backup into a new database, protected as the live one is; then: ./fit.sh
# Usage: restore.sh PROJECT LOCATION [--dry-run]                        lists the backups
#        restore.sh PROJECT LOCATION BACKUP NEW_DATABASE [--dry-run]    restores one
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
# shellcheck source=operations.bash
source "$(dirname "$0")/operations.bash"
inputs "$@"
project=${given[0]:?usage: restore.sh PROJECT LOCATION [BACKUP NEW_DATABASE] [--dry-run]}
location=${given[1]:?name the location of the backups, such as eur3}
need gcloud jq
if [ ${#given[@]} -lt 3 ]; then
  ask listed '' gcloud firestore backups list --project="$project" --location="$location" \
    --format='table(name.basename(), database.basename(), snapshotTime, state)'
  result "$listed"
  exit
fi
backup=${given[2]}
database=${given[3]:?name the new database}

step gcloud firestore databases restore --project="$project" --destination-database="$database" \
  --source-backup="projects/$project/locations/$location/backups/$backup"
until_done "$project" "$database"
step gcloud firestore databases update --project="$project" --database="$database" --enable-pitr --delete-protection
result "restored into $database; next: ./fit.sh $project $database BACKUPS_DIRECTORY"
