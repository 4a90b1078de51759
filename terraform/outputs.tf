# What is noted of a deployment: `terraform output` says it again at any time, `-json` for a script.

output "url" {
  description = "The address of the service."
  value       = local.url
}

output "service" {
  description = "The Cloud Run service, in full; null until there is an image."
  value       = one(google_cloud_run_v2_service.tai[*].id)
}

output "revision" {
  description = "The newest revision that was ready when Terraform last looked."
  value       = one(google_cloud_run_v2_service.tai[*].latest_ready_revision)
}

output "image_repository" {
  description = "Where images are pushed to: this, a slash and the image's name."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "database" {
  description = "The Firestore database, in full."
  value       = google_firestore_database.ledgers.id
}

output "topic" {
  description = "The topic of events, in full."
  value       = google_pubsub_topic.events.id
}

output "subscriptions" {
  description = "The push subscription and the one that holds dead letters, in full."
  value = {
    push = google_pubsub_subscription.signals.id
    dead = google_pubsub_subscription.dead.id
  }
}

output "push_audience" {
  description = "PUBSUB_PUSH_AUDIENCE: `aud` of Pub/Sub's tokens."
  value       = local.push_audience
}

output "accounts" {
  description = "The service accounts, by what they are for."
  value = {
    service  = google_service_account.service.email
    push     = google_service_account.push.email
    delivery = google_service_account.delivery.email
  }
}

output "secrets" {
  description = "The entries of Secret Manager that need a version before the service starts."
  value       = concat(values(local.secret_ids), [for each in values(local.mounted) : each.id])
}

output "checklist_key" {
  description = "CHECKLIST_KEY_SECRET: the entry of the key that the checklist signs with; null without one."
  value       = one(google_secret_manager_secret.checklist[*].secret_id)
}

output "image_readers" {
  description = "Who pulls the images that run here: what the project that builds them has as `image_readers`."
  value       = [google_service_account.delivery.member, local.agents.run]
}

output "workload_identity_provider" {
  description = "What GitHub's workflows name to authenticate; null without a repository."
  value       = one(google_iam_workload_identity_pool_provider.github[*].name)
}

output "buckets" {
  description = "The buckets of Terraform's state and of backups."
  value = {
    state   = google_storage_bucket.state.url
    backups = google_storage_bucket.backups.url
  }
}

output "dashboard" {
  description = "The dashboard of Cloud Monitoring, in full."
  value       = google_monitoring_dashboard.tai.id
}

output "capacity" {
  description = "What the region's quota has to hold at the most, sidecars included."
  value = {
    instances = var.instances.max
    cpus      = var.instances.max * (tonumber(var.cpu) + (var.traces ? 2 : 1) * tonumber(var.sidecar.cpu))
  }
}
