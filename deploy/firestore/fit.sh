#!/usr/bin/env bash
# Make a database fit to serve that was restored, imported or cloned: every chain verified, each ledger told that it was
# restored, erased parts erased again. No service may run on it yet. Cut short, it is repeated with the same directory.
# Usage: fit.sh PROJECT DATABASE BACKUPS_DIRECTORY [--dry-run]
# BACKUPS_DIRECTORY holds erasures.jsonl: gcloud storage cp gs://BUCKET/FOLDER/erasures.jsonl BACKUPS_DIRECTORY/
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
inputs "$@"
project=${given[0]:?usage: fit.sh PROJECT DATABASE BACKUPS_DIRECTORY [--dry-run]}
database=${given[1]:?name the database that was brought back}
backups=${given[2]:?name the directory that holds erasures.jsonl}
tai=${TAI_AUTONOMICS:-tai-autonomics}
need "$tai"

step "$tai" restore --in-place --backups "$backups" --store "firestore://$project/$database"
[ -z "$dry" ] || exit 0
cat <<END
Before the switch:
  TTL policies are in no backup: Terraform makes them (docs/GCP_DEPLOYMENT.md, "Back"); without it put
    firestore.indexes.json and firestore.rules in force on $database, with its name in firebase.json:
    firebase deploy --only firestore --project $project
  a backup schedule neither: ./schedule.sh $project $database, or Terraform with it as the database
The switch: STORE_URL=firestore://$project/$database
END
