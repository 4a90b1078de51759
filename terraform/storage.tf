# Two buckets: Terraform's state, and what is kept beside Firestore's own backups (exports, the list of erasures).

variable "state_bucket" {
  description = "The bucket of Terraform's state: made by hand before the first init, then imported. Empty: PROJECT-terraform-state."
  type        = string
  default     = ""
}

variable "backups_bucket" {
  description = "The bucket of exports and of the list of erasures. Empty: PROJECT-backups."
  type        = string
  default     = ""
}

variable "buckets_location" {
  description = "Where both buckets are; another place than the database's outlives it. Empty: the region."
  type        = string
  default     = ""
}

locals {
  state_bucket     = var.state_bucket == "" ? "${var.project}-terraform-state" : var.state_bucket
  backups_bucket   = var.backups_bucket == "" ? "${var.project}-backups" : var.backups_bucket
  buckets_location = var.buckets_location == "" ? var.region : var.buckets_location
}

resource "google_storage_bucket" "state" {
  #checkov:skip=CKV_GCP_62:who reads the state is in the data access audit logs of audit.tf, which cover storage
  project  = var.project
  name     = local.state_bucket
  location = local.buckets_location
  labels   = local.labels

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  # A state that was overwritten is there for a quarter of a year, and the last ten however old they are.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      days_since_noncurrent_time = 90
      num_newer_versions         = 10
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_storage_bucket" "backups" {
  #checkov:skip=CKV_GCP_62:who reads a backup is in the data access audit logs of audit.tf, which cover storage
  project  = var.project
  name     = local.backups_bucket
  location = local.buckets_location
  labels   = local.labels

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = 7 * 24 * 60 * 60
  }

  # Exports age out as backups do; the list of erasures does not.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age            = var.backup_days
      matches_prefix = ["exports/"]
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}
