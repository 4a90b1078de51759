variable "project" {
  description = "The Google Cloud project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "The id of a project: 6 to 30 of a-z, 0-9 and -, beginning with a letter."
  }
}

variable "region" {
  description = "Where Cloud Run runs and images are kept, such as europe-west1: the region next to the data."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region, such as europe-west1."
  }
}

variable "environment" {
  description = "The name of this deployment, in labels and in the metric tai_build_info."
  type        = string
  default     = "production"

  validation {
    condition     = can(regex("^[a-z0-9-]{1,32}$", var.environment))
    error_message = "1 to 32 of a-z, 0-9 and -."
  }
}

variable "location" {
  description = "Where Firestore keeps the data; it cannot be changed later. A multi-region (eur3, nam5) survives the loss of a region."
  type        = string
}

variable "database" {
  description = "FIRESTORE_DATABASE: the database; after a restore, the one that was brought back."
  type        = string
  default     = "(default)"

  validation {
    condition     = var.database == "(default)" || can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", var.database))
    error_message = "(default), or 4 to 63 of a-z, 0-9 and -, beginning with a letter."
  }
}

variable "receipts_collection" {
  description = "FIRESTORE_COLLECTION: the collection that receipts lie in. A database keeps the name that it was begun with."
  type        = string
  default     = "receipts"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_-]{0,63}$", var.receipts_collection))
    error_message = "1 to 64 of A-Z, a-z, 0-9, _ and -, beginning with a letter."
  }
}

variable "backup_days" {
  description = "How long a daily backup, and an export in the bucket of backups, is kept."
  type        = number
  default     = 30

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 98
    error_message = "Firestore keeps a backup for 1 to 98 days."
  }
}

variable "log_days" {
  description = "How long logs, and with them the audit logs of who read data, are kept. Admin activity is kept 400 days whatever this says."
  type        = number
  default     = 90

  validation {
    condition     = var.log_days >= 30 && var.log_days <= 3650
    error_message = "30 to 3650 days."
  }
}
