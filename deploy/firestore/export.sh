#!/usr/bin/env bash
# Export a database to a bucket as of one moment, which needs point-in-time recovery: an export without a moment may
# hold a ledger's head without its receipts. It is billed as a read of every document.
# Usage: export.sh PROJECT DATABASE gs://BUCKET/FOLDER [MOMENT] [--dry-run]
# MOMENT: a whole minute in UTC, as 2026-11-24T02:30:00Z; without it, the one before this.
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
inputs "$@"
project=${given[0]:?usage: export.sh PROJECT DATABASE gs://BUCKET/FOLDER [MOMENT] [--dry-run]}
database=${given[1]:?name the database; the first of a project is "(default)"}
folder=${given[2]:?name the folder: gs://BUCKET/FOLDER}
moment=${given[3]:-$(date -u -d '-1 minute' +%Y-%m-%dT%H:%M:00Z)}
need gcloud

step gcloud firestore export "$folder/$moment" --project="$project" --database="$database" --snapshot-time="$moment"
result "exported as of $moment to $folder/$moment"
