#!/usr/bin/env bash
# Restore a scheduled backup into a new database, protected as the live one is; then: ./fit.sh
# Usage: restore.sh PROJECT LOCATION                        lists the backups
#        restore.sh PROJECT LOCATION BACKUP NEW_DATABASE    restores one
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
# shellcheck source=operations.bash
source "$(dirname "$0")/operations.bash"
project=${1:?usage: restore.sh PROJECT LOCATION [BACKUP NEW_DATABASE]}
location=${2:?name the location of the backups, such as eur3}
if [ $# -lt 3 ]; then
  exec gcloud firestore backups list --project="$project" --location="$location" \
    --format='table(name.basename(), database.basename(), snapshotTime, state)'
fi
backup=$3
database=${4:?name the new database}

gcloud firestore databases restore --project="$project" --destination-database="$database" \
  --source-backup="projects/$project/locations/$location/backups/$backup"
until_done "$project" "$database"
gcloud firestore databases update --project="$project" --database="$database" --enable-pitr --delete-protection
echo "restored into $database; next: ./fit.sh $project $database BACKUPS_DIRECTORY"
