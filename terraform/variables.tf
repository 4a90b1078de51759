variable "project" {
  description = "The Google Cloud project."
  type        = string
}

variable "location" {
  description = "Where Firestore keeps the data; it cannot be changed later. A multi-region (eur3, nam5) survives the loss of a region."
  type        = string
}

variable "database" {
  description = "The Firestore database that STORE_URL names; after a restore, the one that was brought back."
  type        = string
  default     = "(default)"
}

variable "backup_days" {
  description = "How long a daily backup is kept."
  type        = number
  default     = 30

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 98
    error_message = "Firestore keeps a backup for 1 to 98 days."
  }
}
