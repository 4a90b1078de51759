#!/usr/bin/env bash
# Protect a database that Terraform does not own: point-in-time recovery, delete protection, a backup a day kept 30 days.
# Usage: schedule.sh PROJECT DATABASE [--dry-run]
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
inputs "$@"
project=${given[0]:?usage: schedule.sh PROJECT DATABASE [--dry-run]}
database=${given[1]:?name the database; the first of a project is "(default)"}
need gcloud

step gcloud firestore databases update --project="$project" --database="$database" --enable-pitr --delete-protection
step gcloud firestore backups schedules create --project="$project" --database="$database" --recurrence=daily --retention=30d
