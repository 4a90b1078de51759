#!/usr/bin/env bash
# Push an image of this machine to Artifact Registry, and say by which digest it is there.
# Usage: push.sh PROJECT IMAGE [--dry-run]
# IMAGE: REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG. Says image=NAME@sha256:…, which is what is deployed: a tag moves.
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
inputs "$@"
project=${given[0]:?usage: push.sh PROJECT IMAGE [--dry-run]}
image=${given[1]:?name the image: REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG}
must PROJECT "$project" "$PROJECT_FORM"
must IMAGE "$image" "[a-z0-9-]+-docker[.]pkg[.]dev/$project/[a-z0-9-]+/[a-z0-9-]+:[A-Za-z0-9._-]+"
need gcloud docker jq

step gcloud auth configure-docker "${image%%/*}" --quiet
step docker push "$image"
ask digests '[]' docker image inspect "$image" --format '{{json .RepoDigests}}'
name=${image%:*}
pick pushed "$name@DIGEST" "$digests" "[.[] | select(startswith(\"$name@sha256:\"))][0]" || wrong "$image got no digest"
result "image=$pushed"
