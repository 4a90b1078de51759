#!/usr/bin/env bash
# Deploy an image, by its digest, as a revision without traffic, tagged candidate; its own URL is for the checklist.
# Usage: candidate.sh PROJECT REGION SERVICE IMAGE@sha256:DIGEST [ENV_VARS_FILE] [--dry-run]
# Without ENV_VARS_FILE the variables stay those of Terraform. With it they are replaced, all of them; it is checked first.
# Says, for GITHUB_OUTPUT: revision=…, url=…, stable=… (the revision that serves now).
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
# shellcheck source=revisions.bash
source "$(dirname "$0")/revisions.bash"
inputs "$@"
project=${given[0]:?usage: candidate.sh PROJECT REGION SERVICE IMAGE@sha256:DIGEST [ENV_VARS_FILE] [--dry-run]}
region=${given[1]:?name the region, such as europe-west1}
service=${given[2]:?name the Cloud Run service}
image=${given[3]:?name the image by its digest}
variables=${given[4]:-}
must PROJECT "$project" "$PROJECT_FORM"
must REGION "$region" "$REGION_FORM"
must SERVICE "$service" "$SERVICE_FORM"
must IMAGE "$image" '[a-z0-9][a-z0-9._/-]+@sha256:[0-9a-f]{64}'
[ -z "$variables" ] || [ -r "$variables" ] || misused "$variables cannot be read"
need gcloud jq

if [ -n "$variables" ]; then
  step "${PYTHON:-python3}" "$(dirname "$0")/../env_vars_file.py" "$variables"
fi
see_service
is_there="(.status.traffic[] | select(.tag == \"candidate\").revisionName) == .status.latestCreatedRevisionName
  and any(.spec.template.spec.containers[]; .image == \"$image\")"
if [ -n "$variables" ] || ! already "$seen" "$is_there"; then
  step gcloud run deploy "$service" --project="$project" --region="$region" --quiet --image="$image" --no-traffic \
    --tag=candidate ${variables:+--env-vars-file="$variables"}
  see_service
fi
pick revision CANDIDATE "$seen" '.status.traffic[] | select(.tag == "candidate").revisionName' ||
  wrong "no revision is tagged candidate"
pick url CANDIDATE_URL "$seen" '.status.traffic[] | select(.tag == "candidate").url' ||
  wrong "the candidate has no URL"
pick stable STABLE_REVISION "$seen" "($SERVES)[0].revisionName" || wrong "no revision has traffic"
must_be_ready "$revision"
result "revision=$revision"
result "url=$url"
result "stable=$stable"
