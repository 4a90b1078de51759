#!/usr/bin/env bash
# Let a Cloud Run service keep its receipts in another database, one that fit.sh made fit; no name of a host changes.
# Usage: switch.sh PROJECT REGION SERVICE NEW_DATABASE [--dry-run]
# STORE_URL must leave the database out: FIRESTORE_DATABASE names it. What the old one takes until the traffic moves is
# not in the new one: stop the callers first (docs/SAVING.md). Afterwards: Terraform's variable database.
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
# shellcheck source=../cloud_run/revisions.bash
source "$(dirname "$0")/../cloud_run/revisions.bash"
inputs "$@"
project=${given[0]:?usage: switch.sh PROJECT REGION SERVICE NEW_DATABASE [--dry-run]}
region=${given[1]:?name the region, such as europe-west1}
service=${given[2]:?name the Cloud Run service}
database=${given[3]:?name the database that was made fit}
must PROJECT "$project" "$PROJECT_FORM"
must REGION "$region" "$REGION_FORM"
must SERVICE "$service" "$SERVICE_FORM"
must NEW_DATABASE "$database" "$DATABASE_FORM"
need gcloud jq

ask described '{}' gcloud firestore databases describe --project="$project" --database="$database" --format=json
holds "$described" '.type == "FIRESTORE_NATIVE"' || wrong "$database is not of the type FIRESTORE_NATIVE"
holds "$described" '.pointInTimeRecoveryEnablement == "POINT_IN_TIME_RECOVERY_ENABLED"
  and .deleteProtectionState == "DELETE_PROTECTION_ENABLED"' || wrong "$database is not protected: schedule.sh first"
ask schedules '[]' gcloud firestore backups schedules list --project="$project" --database="$database" --format=json
holds "$schedules" 'length > 0' || wrong "$database has no backup schedule: schedule.sh first"

see_service
environ="[$CONTAINER.env[]?]"
holds "$seen" ".spec.template | $environ | any(.[]; .name == \"STORE_URL\" and ((.value // \"\") | test(\"^firestore://([^/]+/?)?$\")))" ||
  wrong "STORE_URL of $service names a database, or is no firestore:// that can be seen: change it in place of this"
serve_from_new_revision "$environ | any(.[]; .name == \"FIRESTORE_DATABASE\" and .value == \"$database\")" \
  --update-env-vars="FIRESTORE_DATABASE=$database"
