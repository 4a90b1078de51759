#!/usr/bin/env bash
# After the service account of the push subscription was stolen: the old one disabled, a new one in its place, in the
# service's PUBSUB_PUSH_SERVICE_ACCOUNT and in the subscription. Meanwhile pushes are refused, and Pub/Sub keeps them.
# Usage: replace-push-account.sh PROJECT REGION SERVICE SUBSCRIPTION NEW_ACCOUNT [--dry-run]
# NEW_ACCOUNT: the part before the @, another one than the old. Afterwards: the same name in Terraform.
set -euo pipefail
# shellcheck source=../steps.bash
source "$(dirname "$0")/../steps.bash"
# shellcheck source=../cloud_run/revisions.bash
source "$(dirname "$0")/../cloud_run/revisions.bash"
inputs "$@"
project=${given[0]:?usage: replace-push-account.sh PROJECT REGION SERVICE SUBSCRIPTION NEW_ACCOUNT [--dry-run]}
region=${given[1]:?name the region, such as europe-west1}
service=${given[2]:?name the Cloud Run service}
subscription=${given[3]:?name the push subscription}
account=${given[4]:?name the new service account, the part before the @}
must PROJECT "$project" "$PROJECT_FORM"
must REGION "$region" "$REGION_FORM"
must SERVICE "$service" "$SERVICE_FORM"
must SUBSCRIPTION "$subscription" '[A-Za-z][A-Za-z0-9._~+%-]{2,254}'
must NEW_ACCOUNT "$account" '[a-z][a-z0-9-]{4,28}[a-z0-9]'
need gcloud jq
new=$account@$project.iam.gserviceaccount.com

ask pushing '{}' gcloud pubsub subscriptions describe "$subscription" --project="$project" --format=json
pick endpoint PUSH_ENDPOINT "$pushing" .pushConfig.pushEndpoint || wrong "$subscription pushes nowhere"
pick old OLD_ACCOUNT "$pushing" .pushConfig.oidcToken.serviceAccountEmail || wrong "$subscription sends no token"
pick audience PUSH_AUDIENCE "$pushing" '.pushConfig.oidcToken.audience // .pushConfig.pushEndpoint'
ask numbered '{}' gcloud projects describe "$project" --format=json
pick number PROJECT_NUMBER "$numbered" .projectNumber || wrong "$project has no number"
see_service

# Taken away first: nobody can have tokens made in its name any more.
if [ "$old" != "$new" ]; then
  step gcloud iam service-accounts disable "$old" --project="$project" --quiet
fi
ask accounts '[]' gcloud iam service-accounts list --project="$project" --format=json
if ! already "$accounts" "any(.[]; .email == \"$new\")"; then
  step gcloud iam service-accounts create "$account" --project="$project" --display-name="Pub/Sub push to $service"
fi
step gcloud iam service-accounts add-iam-policy-binding "$new" --project="$project" --quiet \
  --member="serviceAccount:service-$number@gcp-sa-pubsub.iam.gserviceaccount.com" \
  --role=roles/iam.serviceAccountTokenCreator
step gcloud run services add-iam-policy-binding "$service" --project="$project" --region="$region" --quiet \
  --member="serviceAccount:$new" --role=roles/run.invoker
serve_from_new_revision "[$CONTAINER.env[]?] | any(.[]; .name == \"PUBSUB_PUSH_SERVICE_ACCOUNT\" and .value == \"$new\")" \
  --update-env-vars="PUBSUB_PUSH_SERVICE_ACCOUNT=$new"
if [ "$old" != "$new" ]; then
  step gcloud pubsub subscriptions update "$subscription" --project="$project" --push-endpoint="$endpoint" \
    --push-auth-service-account="$new" --push-auth-token-audience="$audience"
fi
result "account=$new"
