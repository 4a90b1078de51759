#!/usr/bin/env bash
# Watch the error rate of a revision for a while, as Cloud Run measures it (request_count in Cloud Monitoring); fails when
# more than so many percent of its requests are 5xx, and where there were too few to judge by.
# Usage: watch.sh PROJECT SERVICE REVISION SECONDS [ERROR_PERCENT_MAX [REQUESTS_MIN]] [--dry-run]
# SECONDS: 360 or more: a sample is seen up to 4 minutes after its requests. ERROR_PERCENT_MAX: 1,
# REQUESTS_MIN: 20, unless they are given.
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
inputs "$@"
project=${given[0]:?usage: watch.sh PROJECT SERVICE REVISION SECONDS [ERROR_PERCENT_MAX [REQUESTS_MIN]] [--dry-run]}
service=${given[1]:?name the Cloud Run service}
revision=${given[2]:?name the revision}
seconds=${given[3]:?name for how many seconds, 360 or more}
percent_max=${given[4]:-1}
requests_min=${given[5]:-20}
must PROJECT "$project" "$PROJECT_FORM"
must SERVICE "$service" "$SERVICE_FORM"
must REVISION "$revision" "$REVISION_FORM"
must SECONDS "$seconds" '[1-9][0-9]{2,4}'
must ERROR_PERCENT_MAX "$percent_max" '[0-9]{1,2}([.][0-9]+)?'
must REQUESTS_MIN "$requests_min" '[1-9][0-9]{0,6}'
[ "$seconds" -ge 360 ] || misused "SECONDS is $seconds, and less than 360 sees nothing"
need gcloud jq curl
every=60

of="monitored_resource=\"cloud_run_revision\",service_name=\"$service\",revision_name=\"$revision\""
count() { echo "sum(increase(run_googleapis_com:request_count{$of$1}[${seconds}s])) or vector(0)"; }

# The token goes by a file that only we can read: arguments can be seen by every user of a machine.
token_file=KEPT
if [ -z "$dry" ]; then
  token_file=$(mktemp)
  trap 'rm -f "$token_file"' EXIT
fi
asked() {
  local name=$1 answer
  ask answer '{}' curl --silent --show-error --fail --max-time 30 --get --header "@$token_file" \
    --data-urlencode "query=$(count "$2")" \
    "https://monitoring.googleapis.com/v1/projects/$project/location/global/prometheus/api/v1/query"
  pick "$name" 0 "$answer" 'select(.status == "success").data.result[0].value[1] | tonumber' ||
    wrong "Cloud Monitoring did not give a number"
}

for ((look = 1; look <= seconds / every; look++)); do
  step sleep "$every"
  ask token TOKEN gcloud auth print-access-token
  [ -n "$dry" ] || printf 'Authorization: Bearer %s\n' "$token" >"$token_file"
  asked requests ''
  asked errors ',response_code_class="5xx"'
  result "after $((look * every)) s: $requests requests, $errors of them 5xx"
  if [ -z "$dry" ] && jq -en --argjson n "$requests" --argjson e "$errors" --argjson max "$percent_max" \
    --argjson min "$requests_min" '$n >= $min and 100 * $e > $max * $n' >/dev/null; then
    wrong "more than $percent_max % of the requests to $revision are 5xx"
  fi
done
[ -n "$dry" ] || jq -en --argjson n "$requests" --argjson min "$requests_min" '$n >= $min' >/dev/null ||
  wrong "$revision had $requests requests in $seconds s: fewer than $requests_min say nothing of it"
