#!/usr/bin/env bash
# Carry out the checklist against a revision's URL, as whoever a key in Secret Manager may speak for.
# Usage: checklist.sh PROJECT REGION SERVICE URL KEY_SECRET FOLDER [LOAD] [--dry-run]
# KEY_SECRET: a private key in PEM whose public key the service verifies by; JWT_ISSUER and JWT_AUDIENCE are the
# service's, and so is FIRESTORE_DATABASE, "(default)" without it. DEPLOYED_BY: a name for the sign-off. FOLDER gets
# checklist.md and checklist.json. LOAD: 60s.
set -euo pipefail
# shellcheck source=steps.bash
source "$(dirname "$0")/steps.bash"
inputs "$@"
project=${given[0]:?usage: checklist.sh PROJECT REGION SERVICE URL KEY_SECRET FOLDER [LOAD] [--dry-run]}
region=${given[1]:?name the region, such as europe-west1}
service=${given[2]:?name the Cloud Run service}
url=${given[3]:?name the URL of the service, or of a revision}
secret=${given[4]:?name the secret that holds the key}
folder=${given[5]:?name the folder for the sign-off}
load=${given[6]:-60s}
database="${FIRESTORE_DATABASE:-(default)}"
deployed_by=${DEPLOYED_BY:-}
tai=${TAI_AUTONOMICS:-tai-autonomics}
must PROJECT "$project" "$PROJECT_FORM"
must REGION "$region" "$REGION_FORM"
must SERVICE "$service" "$SERVICE_FORM"
must URL "$url" 'https://[a-z0-9.-]+'
must KEY_SECRET "$secret" '[A-Za-z0-9_-]{1,255}'
must FOLDER "$folder" '[A-Za-z0-9_./-]+'
must LOAD "$load" '[1-9][0-9]{0,3}[sm]'
must FIRESTORE_DATABASE "$database" "$DATABASE_FORM"
[ -z "$deployed_by" ] || must DEPLOYED_BY "$deployed_by" '[][A-Za-z0-9 ._@+-]{1,100}'
if [ -z "$dry" ] && { [ -z "${JWT_ISSUER:-}" ] || [ -z "${JWT_AUDIENCE:-}" ]; }; then
  misused "JWT_ISSUER and JWT_AUDIENCE are to be as the service has them"
fi
need gcloud "$tai"

kept=KEPT
if [ -z "$dry" ]; then
  mkdir -p "$folder"
  kept=$(mktemp -d)
  trap 'rm -rf "$kept"' EXIT
fi
step gcloud secrets versions access latest --secret="$secret" --project="$project" --out-file="$kept/key.pem" --quiet
export JWT_KEYS=$kept/key.pem
step "$tai" token mint --role admin --tenants '*' --ttl 30m --subject checklist --output "$kept/token"
# Of a tenant that nobody has: what does such a token not reach?
step "$tai" token mint --role viewer --tenants checklist-viewer --ttl 30m --subject checklist --output "$kept/viewer"
ask token TOKEN gcloud auth print-access-token
[ -n "$dry" ] || (umask 077 && printf %s "$token" >"$kept/google")
step "$tai" checklist "$url" --token-file "$kept/token" --tenant-token-file "$kept/viewer" --load "$load" \
  --google-project "$project" --google-region "$region" --google-service "$service" --google-database "$database" \
  --google-token-file "$kept/google" ${deployed_by:+--deployed-by="$deployed_by"} \
  --markdown "$folder/checklist.md" --json "$folder/checklist.json"
