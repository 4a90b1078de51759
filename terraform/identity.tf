# Who may do what: one account for each of the service, Pub/Sub's pushes and delivery, and no key of any of them.
# Nobody is given anything that deletes a database, a backup or a backup schedule.

variable "github_repository" {
  description = "The GitHub repository (owner/name) whose workflows deliver. Empty: none does, and no federation is made."
  type        = string
  default     = ""

  validation {
    condition     = var.github_repository == "" || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "owner/name, as GitHub spells it."
  }
}

variable "github_repository_id" {
  description = "Its number (gh api repos/OWNER/NAME --jq .id): a repository that takes an abandoned name over has another one."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[0-9]*$", var.github_repository_id))
    error_message = "Digits alone."
  }
}

variable "github_environments" {
  description = "The environments of GitHub whose jobs may deliver here; their protection rules say who approves."
  type        = set(string)
  default     = ["production"]

  validation {
    condition     = alltrue([for name in var.github_environments : can(regex("^[A-Za-z0-9_-]+$", name))])
    error_message = "Letters, digits, - and _."
  }
}

variable "builds_images" {
  description = "Whether delivery builds and scans images here. Where it only rolls out those of another project (of staging's), false."
  type        = bool
  default     = true
}

variable "restorers" {
  description = "Who may bring a database back, as IAM members (group:…): restore, clone, import, never delete."
  type        = set(string)
  default     = []
}

variable "publish_topics" {
  description = "Topics of this project that actions of type pubsub.publish may publish to."
  type        = set(string)
  default     = []
}

variable "steered_services" {
  description = "Cloud Run services of this project and region that cloud_run.scale and cloud_run.rollback may change, each with the e-mail address of the account that it runs as."
  type        = map(string)
  default     = {}
}

locals {
  federated = var.github_repository == "" ? 0 : 1

  # What deletes what could not be brought back is in none of these; tests/house/test_terraform_policy.py looks.
  permissions = {
    # Google's table of what each call needs: https://cloud.google.com/firestore/docs/security/iam
    service = [
      "datastore.databases.get",
      "datastore.databases.getMetadata",
      "datastore.entities.allocateIds",
      "datastore.entities.create",
      "datastore.entities.delete",
      "datastore.entities.get",
      "datastore.entities.list",
      "datastore.entities.update",
    ]

    # Of one service alone.
    steering = [
      "run.configurations.get",
      "run.routes.get",
      "run.services.get",
      "run.services.update",
    ]

    # Of the project: revisions and operations have no policy of their own.
    looking = [
      "run.configurations.list",
      "run.locations.list",
      "run.operations.get",
      "run.revisions.get",
      "run.revisions.list",
      "run.services.list",
    ]

    # Of the project: whether backups are made, for the checklist.
    checking = [
      "datastore.backupSchedules.list",
      "datastore.databases.getMetadata",
    ]

    restoring = [
      "datastore.backupSchedules.create",
      "datastore.backupSchedules.get",
      "datastore.backupSchedules.list",
      "datastore.backups.get",
      "datastore.backups.list",
      "datastore.backups.restoreDatabase",
      "datastore.databases.clone",
      "datastore.databases.create",
      "datastore.databases.export",
      "datastore.databases.get",
      "datastore.databases.getMetadata",
      "datastore.databases.import",
      "datastore.databases.list",
      "datastore.databases.update",
      "datastore.entities.create",
      "datastore.entities.delete",
      "datastore.entities.get",
      "datastore.entities.list",
      "datastore.entities.update",
      "datastore.indexes.create",
      "datastore.indexes.get",
      "datastore.indexes.list",
      "datastore.indexes.update",
      "datastore.operations.get",
      "datastore.operations.list",
    ]
  }
}

resource "google_project_iam_custom_role" "role" {
  for_each = local.permissions

  project     = var.project
  role_id     = "${replace(var.service, "-", "_")}_${each.key}"
  title       = "${var.service}: ${each.key}"
  permissions = each.value
}

# The service: its documents, its metrics, its spans.
resource "google_service_account" "service" {
  project      = var.project
  account_id   = "${var.service}-sa"
  display_name = "${var.service}, as it runs"

  depends_on = [google_project_service.api]
}

resource "google_project_iam_member" "service" {
  project = var.project
  role    = google_project_iam_custom_role.role["service"].name
  member  = google_service_account.service.member
}

resource "google_project_iam_member" "telemetry" {
  for_each = toset(["roles/logging.logWriter", "roles/monitoring.metricWriter", "roles/telemetry.tracesWriter"])

  project = var.project
  role    = each.value
  member  = google_service_account.service.member
}

resource "google_pubsub_topic_iam_member" "action" {
  for_each = var.publish_topics

  project = var.project
  topic   = each.value
  role    = "roles/pubsub.publisher"
  member  = google_service_account.service.member
}

resource "google_cloud_run_v2_service_iam_member" "steering" {
  for_each = var.steered_services

  project  = var.project
  location = var.region
  name     = each.key
  role     = google_project_iam_custom_role.role["steering"].name
  member   = google_service_account.service.member
}

resource "google_project_iam_member" "looking" {
  count = length(var.steered_services) == 0 ? 0 : 1

  project = var.project
  role    = google_project_iam_custom_role.role["looking"].name
  member  = google_service_account.service.member
}

resource "google_service_account_iam_member" "steering" {
  for_each = toset(values(var.steered_services))

  service_account_id = "projects/${var.project}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.service.member
}

# Pushes: the one account whose token POST /pubsub takes. Whoever makes a subscription with it acts on every tenant.
resource "google_service_account" "push" {
  project      = var.project
  account_id   = "${var.service}-push"
  display_name = "${var.service}, pushes of Pub/Sub"

  depends_on = [google_project_service.api]
}

resource "google_service_account_iam_member" "push" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.agents.pubsub
}

# Delivery: pushes images, gives the service a new one, moves traffic; reads the metrics that it goes back for.
resource "google_service_account" "delivery" {
  project      = var.project
  account_id   = "${var.service}-deploy"
  display_name = "${var.service}, delivery"

  depends_on = [google_project_service.api]
}

resource "google_artifact_registry_repository_iam_member" "delivery" {
  project    = var.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.delivery.member
}

resource "google_cloud_run_v2_service_iam_member" "delivery" {
  count = length(google_cloud_run_v2_service.tai)

  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.tai[0].name
  role     = google_project_iam_custom_role.role["steering"].name
  member   = google_service_account.delivery.member
}

resource "google_project_iam_member" "delivery_looking" {
  project = var.project
  role    = google_project_iam_custom_role.role["looking"].name
  member  = google_service_account.delivery.member
}

resource "google_project_iam_member" "delivery_checking" {
  project = var.project
  role    = google_project_iam_custom_role.role["checking"].name
  member  = google_service_account.delivery.member
}

# An image is scanned before it is pushed, so that nothing of it is there yet to be given rights on.
resource "google_project_iam_member" "scanning" {
  count = var.builds_images ? 1 : 0

  project = var.project
  role    = "roles/ondemandscanning.admin"
  member  = google_service_account.delivery.member
}

resource "google_service_account_iam_member" "delivery" {
  service_account_id = google_service_account.service.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.delivery.member
}

resource "google_project_iam_member" "delivery" {
  for_each = toset(["roles/containeranalysis.occurrences.viewer", "roles/logging.viewer", "roles/monitoring.viewer"])

  project = var.project
  role    = each.value
  member  = google_service_account.delivery.member
}

# GitHub's workflows become the account of delivery by their own tokens: of this repository, in these environments.
resource "google_iam_workload_identity_pool" "github" {
  count = local.federated

  project                   = var.project
  workload_identity_pool_id = "${var.service}-github"
  display_name              = "GitHub Actions"

  depends_on = [google_project_service.api]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  #checkov:skip=CKV_GCP_125:it looks for one literal assertion.sub; here it is one binding for each environment, of the exact subject, and the condition asks for the repository and its number
  count = local.federated

  project                            = var.project
  workload_identity_pool_id          = google_iam_workload_identity_pool.github[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"

  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }

  attribute_condition = "assertion.repository == '${var.github_repository}' && assertion.repository_id == '${var.github_repository_id}'"

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }

  lifecycle {
    precondition {
      condition     = var.github_repository_id != ""
      error_message = "github_repository needs github_repository_id: a name alone can be taken over."
    }
  }
}

resource "google_service_account_iam_member" "github" {
  for_each = local.federated == 1 ? var.github_environments : toset([])

  service_account_id = google_service_account.delivery.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principal://iam.googleapis.com/${google_iam_workload_identity_pool.github[0].name}/subject/repo:${var.github_repository}:environment:${each.value}"
}

# People who bring a database back.
resource "google_project_iam_member" "restoring" {
  for_each = var.restorers

  project = var.project
  role    = google_project_iam_custom_role.role["restoring"].name
  member  = each.value
}

resource "google_storage_bucket_iam_member" "restoring" {
  for_each = var.restorers

  bucket = google_storage_bucket.backups.name
  role   = "roles/storage.objectViewer"
  member = each.value
}
