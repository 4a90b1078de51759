# shellcheck shell=bash disable=SC2034
# Sourced after steps.bash: what the scripts do to the revisions of a service. It reads $project, $region and $service.

SERVES='[.status.traffic[] | select((.percent // 0) > 0)] | sort_by(.percent) | reverse'

see_service() {
  ask seen '{}' gcloud run services describe "$service" --project="$project" --region="$region" --format=json
}

# all_on REVISION: a filter, true where it alone has traffic.
all_on() { echo "[.status.traffic[] | select((.percent // 0) > 0).revisionName] | unique == [\"$1\"]"; }

must_be_ready() {
  local revision=$1 described
  ask described '{}' gcloud run revisions describe "$revision" --project="$project" --region="$region" --format=json
  holds "$described" ".metadata.labels[\"serving.knative.dev/service\"] == \"$service\"" ||
    wrong "$revision is no revision of $service"
  holds "$described" 'any(.status.conditions[]; .type == "Ready" and .status == "True")' ||
    wrong "$revision is not ready, and gets no traffic"
}

# traffic ARGUMENTS…: one call, so that a split and its tags change together.
traffic() {
  step gcloud run services update-traffic "$service" --project="$project" --region="$region" --quiet "$@"
}

# serve_from_new_revision FILTER ARGUMENTS…: a new revision with those arguments of `gcloud run services update`, unless
# the newest has them already (FILTER is true), then all traffic to it. Tags are cleared: an older revision that is
# tagged keeps running, and a roll-back to it would bring back what was just taken away.
serve_from_new_revision() {
  local has=$1 new
  shift
  if ! already "$seen" "$has"; then
    step gcloud run services update "$service" --project="$project" --region="$region" --quiet --no-traffic "$@"
    see_service
  fi
  pick new NEW_REVISION "$seen" .status.latestCreatedRevisionName || wrong "$service has no revision"
  must_be_ready "$new"
  if already "$seen" "($(all_on "$new")) and all(.status.traffic[]; .tag == null)"; then
    echo "all traffic is on $new already" >&2
    return
  fi
  traffic --to-revisions="$new=100" --clear-tags
  see_service
  holds "$seen" "$(all_on "$new")" || wrong "the traffic is not on $new: look at gcloud run services describe $service"
  result "revision=$new"
}
