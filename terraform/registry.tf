# Where images are kept, and looked at for known vulnerabilities.

variable "images_kept" {
  description = "How many releases of the image are kept, whatever their age: what a rollback can go back to."
  type        = number
  default     = 30

  validation {
    condition     = var.images_kept >= 5
    error_message = "At least 5, or there is nothing to roll back to."
  }
}

variable "image_readers" {
  description = "Who pulls images from here besides this project, as IAM members: the output `image_readers` of each project that they are delivered to."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.image_readers : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "Images are nobody else's: never everybody."
  }
}

resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84:encrypted at rest with Google's keys; images hold no secret and no data
  project       = var.project
  location      = var.region
  repository_id = var.service
  format        = "DOCKER"
  description   = "Images of ${var.service}."
  labels        = local.labels

  # Needs containerscanning.googleapis.com, which apis.tf enables.
  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  # What is kept is kept before what is deleted is deleted, whichever names an image first.
  cleanup_policies {
    id     = "keep-releases"
    action = "KEEP"

    most_recent_versions {
      keep_count = var.images_kept
    }
  }

  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"

    condition {
      tag_state  = "UNTAGGED"
      older_than = "1209600s"
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_artifact_registry_repository_iam_member" "reader" {
  for_each = var.image_readers

  project    = var.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = each.value
}
