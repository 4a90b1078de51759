#!/usr/bin/env bash
# After a key or secret was stolen: a new version in Secret Manager, a new revision that has read it, the old versions
# disabled. For JWT_KEYS, MARKETPLACE_WEBHOOK_SECRETS and TAI_WEBHOOK_SIGNING_SECRETS.
# Usage: replace-secret.sh PROJECT REGION SERVICE SETTING SECRET NEW_VALUE_FILE [--dry-run]
# NEW_VALUE_FILE: the whole new value, without the stolen key; its form is checked first, and it is never an argument.
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
# shellcheck source=../cloud_run/revisions.bash
source "$(dirname "$0")/../cloud_run/revisions.bash"
inputs "$@"
project=${given[0]:?usage: replace-secret.sh PROJECT REGION SERVICE SETTING SECRET NEW_VALUE_FILE [--dry-run]}
region=${given[1]:?name the region, such as europe-west1}
service=${given[2]:?name the Cloud Run service}
setting=${given[3]:?name the setting: JWT_KEYS, MARKETPLACE_WEBHOOK_SECRETS or TAI_WEBHOOK_SIGNING_SECRETS}
secret=${given[4]:?name the secret in Secret Manager}
value=${given[5]:?name the file with the new value}
must PROJECT "$project" "$PROJECT_FORM"
must REGION "$region" "$REGION_FORM"
must SERVICE "$service" "$SERVICE_FORM"
must SETTING "$setting" 'JWT_KEYS|MARKETPLACE_WEBHOOK_SECRETS|TAI_WEBHOOK_SIGNING_SECRETS'
must SECRET "$secret" '[A-Za-z0-9_-]{1,56}'
[ -n "$dry" ] || [ -s "$value" ] || misused "$value is not there, or empty"
need gcloud jq cmp

# A value that the service cannot use would leave the stolen one in force.
step "${PYTHON:-python3}" "$(dirname "$0")/secret_value.py" "$setting" "$value"

see_service
latest="[\"latest\", null]"
# As gsm://…, as a variable that Cloud Run fills, or as a mounted file; a version that is pinned would stay in force.
holds "$seen" "[.spec.template.spec | (.containers[].env[]?
    | ((.value // \"\") | select(test(\"^gsm://projects/[^/]+/secrets/$secret(/versions/latest)?\$\"))),
      (.valueFrom.secretKeyRef? | select(.name == \"$secret\" and .key == \"latest\"))),
  (.volumes[]?.secret? | select(.secretName == \"$secret\" and ([.items[]?.key] - $latest == [])))] | length > 0" ||
  wrong "$service does not read the latest version of $secret"

ask versions '[]' gcloud secrets versions list "$secret" --project="$project" --filter=state=ENABLED --format=json
same=
if [ -n "$dry" ] || holds "$versions" 'length > 0'; then
  kept=KEPT
  if [ -z "$dry" ]; then
    kept=$(mktemp)
    trap 'rm -f "$kept"' EXIT
  fi
  step gcloud secrets versions access latest --secret="$secret" --project="$project" --out-file="$kept" --quiet
  [ -n "$dry" ] || ! cmp -s "$kept" "$value" || same=1
fi
if [ -z "$same" ]; then
  step gcloud secrets versions add "$secret" --project="$project" --data-file="$value"
  ask versions '[]' gcloud secrets versions list "$secret" --project="$project" --filter=state=ENABLED --format=json
fi
numbers='[.[].name | split("/")[-1] | tonumber] | sort'
pick newest NEW_VERSION "$versions" "$numbers | last" || wrong "$secret has no version that is enabled"

# A label makes a new revision without another setting; its name has small letters alone.
label=secret-$(tr '[:upper:]' '[:lower:]' <<<"$secret")
serve_from_new_revision ".metadata.labels[\"$label\"] == \"$newest\"" --update-labels="$label=$newest"

pick older OLDER_VERSION "$versions" "$numbers | .[:-1] | map(tostring) | join(\" \")"
for version in $older; do
  step gcloud secrets versions disable "$version" --secret="$secret" --project="$project" --quiet
done
result "version=$newest"
