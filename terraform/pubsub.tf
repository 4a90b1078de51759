# Events in: a topic, its push subscription to POST /pubsub, and where messages go that could not be delivered.

variable "topic" {
  description = "The topic that events and commands are published to."
  type        = string
  default     = "erlang-autonomics-events"
}

variable "publishers" {
  description = "Who may publish to the topic, as IAM members (serviceAccount:…, group:…)."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.publishers : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "Whoever publishes acts as integration on every tenant: never everybody."
  }
}

variable "ack_deadline_seconds" {
  description = "How long Pub/Sub waits for the answer to a push: longer than the service's own deadline of a request (TAI_REQUEST_SECONDS_MAX, 10)."
  type        = number
  default     = 30

  validation {
    condition     = var.ack_deadline_seconds > 10 && var.ack_deadline_seconds <= 600
    error_message = "More than 10 s, or messages are delivered again that are still worked on, and at most 600 s."
  }
}

variable "delivery_attempts" {
  description = "After so many attempts a message goes to the dead-letter topic. With pauses of up to 10 minutes, 50 attempts outlast an outage of 7 hours."
  type        = number
  default     = 50

  validation {
    condition     = var.delivery_attempts >= 5 && var.delivery_attempts <= 100
    error_message = "Pub/Sub takes 5 to 100."
  }
}

locals {
  retention = "${7 * 24 * 60 * 60}s"
}

resource "google_pubsub_topic" "events" {
  #checkov:skip=CKV_GCP_83:encrypted at rest with Google's keys; docs/GCP_DEPLOYMENT.md says what a key of your own takes
  project = var.project
  name    = var.topic
  labels  = local.labels

  message_retention_duration = local.retention

  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic" "dead" {
  #checkov:skip=CKV_GCP_83:encrypted at rest with Google's keys; docs/GCP_DEPLOYMENT.md says what a key of your own takes
  project = var.project
  name    = "${var.topic}-dead"
  labels  = local.labels

  message_retention_duration = local.retention

  depends_on = [google_project_service.api]
}

resource "google_pubsub_subscription" "signals" {
  project = var.project
  name    = var.subscription
  topic   = google_pubsub_topic.events.id
  labels  = local.labels

  ack_deadline_seconds       = var.ack_deadline_seconds
  message_retention_duration = local.retention

  push_config {
    push_endpoint = "${local.url}/pubsub"

    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.push_audience
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = var.delivery_attempts
  }

  # Never: else Pub/Sub deletes it after 31 days without a message.
  expiration_policy {
    ttl = ""
  }
}

# Without it, a message that is dead-lettered is gone.
resource "google_pubsub_subscription" "dead" {
  project = var.project
  name    = "${var.topic}-dead"
  topic   = google_pubsub_topic.dead.id
  labels  = local.labels

  ack_deadline_seconds       = 60
  message_retention_duration = local.retention

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub's own account moves what is dead: it publishes there, and acknowledges here.
resource "google_pubsub_topic_iam_member" "dead_lettering" {
  project = var.project
  topic   = google_pubsub_topic.dead.name
  role    = "roles/pubsub.publisher"
  member  = local.agents.pubsub
}

resource "google_pubsub_subscription_iam_member" "dead_lettering" {
  project      = var.project
  subscription = google_pubsub_subscription.signals.name
  role         = "roles/pubsub.subscriber"
  member       = local.agents.pubsub
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = var.publishers

  project = var.project
  topic   = google_pubsub_topic.events.name
  role    = "roles/pubsub.publisher"
  member  = each.value
}
