#!/usr/bin/env bash
# Import an export into a new database of its own, protected as the live one is; then: ./fit.sh
# Usage: import.sh PROJECT LOCATION NEW_DATABASE gs://BUCKET/FOLDER/MOMENT
set -euo pipefail
project=${1:?usage: import.sh PROJECT LOCATION NEW_DATABASE gs://BUCKET/FOLDER/MOMENT}
location=${2:?name the location of the new database, such as eur3}
database=${3:?name the new database}
exported=${4:?name the export: gs://BUCKET/FOLDER/MOMENT}

# Fails where the database is there already: an import goes over what it holds.
gcloud firestore databases create --project="$project" --database="$database" --location="$location" \
  --type=firestore-native --enable-pitr --delete-protection
gcloud firestore import "$exported" --project="$project" --database="$database"
echo "imported into $database; next: ./fit.sh $project $database BACKUPS_DIRECTORY"
