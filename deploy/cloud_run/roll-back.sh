#!/usr/bin/env bash
# Give all traffic back to the revision that promote.sh tagged as the previous one, or to the one that is named; the tag
# candidate goes, as a revision that has one runs on without traffic, and decides timers and carries out actions.
# Usage: roll-back.sh PROJECT REGION SERVICE [REVISION] [--dry-run]
# The store stays as it is: read "Upgrade, and go back" in docs/RUNBOOK.md before going back over a new schema.
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
# shellcheck source=revisions.bash
source "$(dirname "$0")/revisions.bash"
inputs "$@"
project=${given[0]:?usage: roll-back.sh PROJECT REGION SERVICE [REVISION] [--dry-run]}
region=${given[1]:?name the region, such as europe-west1}
service=${given[2]:?name the Cloud Run service}
revision=${given[3]:-}
must PROJECT "$project" "$PROJECT_FORM"
must REGION "$region" "$REGION_FORM"
must SERVICE "$service" "$SERVICE_FORM"
[ -z "$revision" ] || must REVISION "$revision" "$REVISION_FORM"
need gcloud jq

see_service
if [ -z "$revision" ]; then
  pick revision PREVIOUS_REVISION "$seen" '.status.traffic[] | select(.tag == "previous").revisionName' ||
    wrong "no revision is tagged previous: name one of gcloud run revisions list --service=$service"
fi
quiet="all(.status.traffic[]; .tag != \"candidate\" or .revisionName == \"$revision\")"
if already "$seen" "($(all_on "$revision")) and $quiet"; then
  echo "all traffic is on $revision already" >&2
  exit 0
fi
must_be_ready "$revision"
traffic --to-revisions="$revision=100" --remove-tags=candidate
see_service
holds "$seen" "$(all_on "$revision")" || wrong "the traffic is not on $revision: gcloud run services describe $service"
result "revision=$revision"
