#!/usr/bin/env bash
# Give a revision a share of the traffic; the rest stays with the one that serves, which is tagged previous.
# Usage: promote.sh PROJECT REGION SERVICE REVISION PERCENT [--dry-run]
# PERCENT: 1 to 100. Between two steps: watch.sh. Back: roll-back.sh.
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
# shellcheck source=revisions.bash
source "$(dirname "$0")/revisions.bash"
inputs "$@"
project=${given[0]:?usage: promote.sh PROJECT REGION SERVICE REVISION PERCENT [--dry-run]}
region=${given[1]:?name the region, such as europe-west1}
service=${given[2]:?name the Cloud Run service}
revision=${given[3]:?name the revision}
percent=${given[4]:?name the share of the traffic, 1 to 100}
must PROJECT "$project" "$PROJECT_FORM"
must REGION "$region" "$REGION_FORM"
must SERVICE "$service" "$SERVICE_FORM"
must REVISION "$revision" "$REVISION_FORM"
must PERCENT "$percent" '[1-9][0-9]?|100'
need gcloud jq

see_service
has="[$SERVES | .[] | select(.revisionName == \"$revision\").percent] | add"
if already "$seen" "($has) == $percent"; then
  echo "$revision has $percent % of the traffic already" >&2
  exit 0
fi
holds "$seen" "[$SERVES | .[] | select(.revisionName != \"$revision\").revisionName] | unique | length == 1" ||
  wrong "the traffic is not on one other revision: roll-back.sh first"
pick stable STABLE_REVISION "$seen" "[$SERVES | .[] | select(.revisionName != \"$revision\").revisionName][0]"
must_be_ready "$revision"
split="$revision=$percent"
[ "$percent" = 100 ] || split+=",$stable=$((100 - percent))"
traffic --to-revisions="$split" --update-tags="previous=$stable"
see_service
holds "$seen" "($has) == $percent" || wrong "$revision has not got $percent %: gcloud run services describe $service"
result "previous=$stable"
