#!/usr/bin/env bash
# Import an export into a new database of its own, protected as the live one is; then: ./fit.sh
# Usage: import.sh PROJECT LOCATION NEW_DATABASE gs://BUCKET/FOLDER/MOMENT [--dry-run]
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
inputs "$@"
project=${given[0]:?usage: import.sh PROJECT LOCATION NEW_DATABASE gs://BUCKET/FOLDER/MOMENT [--dry-run]}
location=${given[1]:?name the location of the new database, such as eur3}
database=${given[2]:?name the new database}
exported=${given[3]:?name the export: gs://BUCKET/FOLDER/MOMENT}
need gcloud

# Fails where the database is there already: an import goes over what it holds.
step gcloud firestore databases create --project="$project" --database="$database" --location="$location" \
  --type=firestore-native --enable-pitr --delete-protection
step gcloud firestore import "$exported" --project="$project" --database="$database"
result "imported into $database; next: ./fit.sh $project $database BACKUPS_DIRECTORY"
