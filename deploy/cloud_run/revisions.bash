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

# The container that takes the requests is the one with a port; a sidecar has none.
CONTAINER='.spec.containers | (map(select(.ports)) + .)[0]'

# serve_from_new_revision FILTER ARGUMENTS…: all traffic to a revision of the image that serves now, made by `gcloud run
# services update` with those arguments; nothing, where FILTER is true of the revision that serves. The image is named,
# as the service's template may be that of a candidate that was turned down. Tags are cleared: an older revision that is
# tagged keeps running, and a roll-back to it would bring back what was just taken away.
serve_from_new_revision() {
  local has=$1 serving old_revision image next
  shift
  pick serving SERVING_REVISION "$seen" "($SERVES)[0].revisionName" || wrong "no revision of $service has traffic"
  ask old_revision '{}' gcloud run revisions describe "$serving" --project="$project" --region="$region" --format=json
  if already "$seen" "$(all_on "$serving")" && already "$old_revision" "$has"; then
    echo "all traffic is on $serving already" >&2
    return
  fi
  pick image SERVING_IMAGE "$old_revision" "$CONTAINER.image" || wrong "$serving has no image"
  if ! already "$seen" ".spec.template | ($has) and ($CONTAINER.image) == \"$image\""; then
    step gcloud run services update "$service" --project="$project" --region="$region" --quiet --no-traffic \
      --image="$image" "$@"
    see_service
  fi
  pick next NEW_REVISION "$seen" .status.latestCreatedRevisionName || wrong "$service has no revision"
  must_be_ready "$next"
  traffic --to-revisions="$next=100" --clear-tags
  see_service
  holds "$seen" "$(all_on "$next")" || wrong "the traffic is not on $next: look at gcloud run services describe $service"
  result "revision=$next"
}
