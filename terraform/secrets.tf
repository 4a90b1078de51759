# Entries of Secret Manager, each readable by who needs it alone. Their values come from `gcloud secrets versions add`,
# never from Terraform, whose state would hold them.

variable "secret_settings" {
  description = "The settings of docs/CONFIG.md that come from Secret Manager. Each needs a version before the service starts."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.secret_settings : contains(["MARKETPLACE_WEBHOOK_SECRETS", "TAI_WEBHOOK_SIGNING_SECRETS"], name)])
    error_message = "The secret settings of a service on Firestore are MARKETPLACE_WEBHOOK_SECRETS and TAI_WEBHOOK_SIGNING_SECRETS."
  }
}

variable "plans_from_secret" {
  description = "Whether the plans file comes from the entry SERVICE-plans of Secret Manager (at most 64 KiB), which needs a version first. Else those of the package are in force."
  type        = bool
  default     = false
}

variable "checklist_key" {
  description = "Whether delivery's checklist signs its tokens with a key in the entry SERVICE-checklist-key of Secret Manager, which needs a version: a private key in PEM whose public key the service verifies by. Whoever reads it speaks for every role here."
  type        = bool
  default     = false
}

locals {
  secret_ids = { for name in var.secret_settings : name => "${var.service}-${lower(replace(trimprefix(name, "TAI_"), "_", "-"))}" }

  # Neither is secret: keys are public ones, and plans are shown to every viewer.
  mounted = merge(
    var.jwks_url == "" ? { keys = { id = "${var.service}-jwt-keys", file = "jwks.json" } } : {},
    var.plans_from_secret ? { plans = { id = "${var.service}-plans", file = "plans.yaml" } } : {},
  )
}

resource "google_secret_manager_secret" "setting" {
  for_each = local.secret_ids

  project             = var.project
  secret_id           = each.value
  labels              = local.labels
  deletion_protection = var.deletion_protection

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}

resource "google_secret_manager_secret_iam_member" "setting" {
  for_each = google_secret_manager_secret.setting

  project   = var.project
  secret_id = each.value.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.service.member
}

resource "google_secret_manager_secret" "mounted" {
  for_each = local.mounted

  project             = var.project
  secret_id           = each.value.id
  labels              = local.labels
  deletion_protection = var.deletion_protection

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}

resource "google_secret_manager_secret_iam_member" "mounted" {
  for_each = google_secret_manager_secret.mounted

  project   = var.project
  secret_id = each.value.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.service.member
}

# Delivery's alone: the service knows its public half.
resource "google_secret_manager_secret" "checklist" {
  count = var.checklist_key ? 1 : 0

  project             = var.project
  secret_id           = "${var.service}-checklist-key"
  labels              = local.labels
  deletion_protection = var.deletion_protection

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}

resource "google_secret_manager_secret_iam_member" "checklist" {
  count = length(google_secret_manager_secret.checklist)

  project   = var.project
  secret_id = google_secret_manager_secret.checklist[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.delivery.member
}

# What the Prometheus sidecar is to scrape. It takes it from a mounted file alone, and Cloud Run mounts none but these.
resource "google_secret_manager_secret" "scraping" {
  project   = var.project
  secret_id = "${var.service}-scraping"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}

resource "google_secret_manager_secret_version" "scraping" {
  secret = google_secret_manager_secret.scraping.id

  secret_data = yamlencode({
    apiVersion = "monitoring.googleapis.com/v1beta"
    kind       = "RunMonitoring"
    metadata   = { name = var.service }
    spec = {
      endpoints = [{ port = local.metrics_port, path = "/metrics", interval = "30s" }]
    }
  })
}

resource "google_secret_manager_secret_iam_member" "scraping" {
  project   = var.project
  secret_id = google_secret_manager_secret.scraping.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.service.member
}
