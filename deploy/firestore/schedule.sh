#!/usr/bin/env bash
# Protect a database that Terraform does not own: point-in-time recovery, delete protection, a backup a day kept 30 days.
# Usage: schedule.sh PROJECT DATABASE
set -euo pipefail
project=${1:?usage: schedule.sh PROJECT DATABASE}
database=${2:?name the database; the first of a project is "(default)"}

gcloud firestore databases update --project="$project" --database="$database" --enable-pitr --delete-protection
gcloud firestore backups schedules create --project="$project" --database="$database" --recurrence=daily --retention=30d
