#!/usr/bin/env bash
# Make a database fit to serve that was restored, imported or cloned: every chain verified, each ledger told that it was
# restored, erased parts erased again. No service may run on it yet. Cut short, it is repeated with the same directory.
# Usage: fit.sh PROJECT DATABASE BACKUPS_DIRECTORY
# BACKUPS_DIRECTORY holds erasures.jsonl: gcloud storage cp gs://BUCKET/FOLDER/erasures.jsonl BACKUPS_DIRECTORY/
set -euo pipefail
project=${1:?usage: fit.sh PROJECT DATABASE BACKUPS_DIRECTORY}
database=${2:?name the database that was brought back}
backups=${3:?name the directory that holds erasures.jsonl}
tai=${TAI_AUTONOMICS:-tai-autonomics}

"$tai" restore --in-place --backups "$backups" --store "firestore://$project/$database"
cat <<END
Before the switch:
  TTL policies are in no backup: put firestore.indexes.json and firestore.rules in force on $database, with its name in
    firebase.json: firebase deploy --only firestore --project $project
  a backup schedule neither: ./schedule.sh $project $database, or Terraform with it as the database
The switch: STORE_URL=firestore://$project/$database
END
