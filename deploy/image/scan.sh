#!/usr/bin/env bash
# Scan an image of this machine with Google's On-Demand Scanning, before it is pushed; fails where a vulnerability is
# critical, or is high and has a fix. Needs gcloud's component local-extract.
# Usage: scan.sh PROJECT LOCATION IMAGE [--dry-run]
# LOCATION: of the analysis, us, europe or asia.
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
inputs "$@"
project=${given[0]:?usage: scan.sh PROJECT LOCATION IMAGE [--dry-run]}
location=${given[1]:?name where it is analysed: us, europe or asia}
image=${given[2]:?name the image}
must PROJECT "$project" "$PROJECT_FORM"
must LOCATION "$location" 'us|europe|asia'
must IMAGE "$image" '[a-z0-9][a-z0-9._/-]+:[A-Za-z0-9._-]+'
need gcloud jq

ask scanned '{}' gcloud artifacts docker images scan "$image" --project="$project" --location="$location" --quiet \
  --format=json
pick scan SCAN "$scanned" .response.scan || wrong "the scan of $image did not end"
ask found '[]' gcloud artifacts docker images list-vulnerabilities "$scan" --project="$project" --format=json
bad='[.[] | select(.vulnerability | .effectiveSeverity == "CRITICAL" or (.effectiveSeverity == "HIGH" and .fixAvailable))]'
pick names '' "$found" "[$bad | .[] | .noteName | split(\"/\")[-1]] | unique | join(\" \")"
[ -z "$names" ] || wrong "$image has $names"
pick number 0 "$found" length
result "no critical vulnerability and no high one that has a fix, of $number"
