# The database, and what brings it back: point-in-time recovery of the last 7 days, and a backup a day.

resource "google_firestore_database" "ledgers" {
  project     = var.project
  name        = var.database
  location_id = var.location
  type        = "FIRESTORE_NATIVE"

  concurrency_mode                  = "OPTIMISTIC"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"

  # Twice: Google refuses to delete the database, and Terraform to plan it.
  delete_protection_state = "DELETE_PROTECTION_ENABLED"
  deletion_policy         = "ABANDON"

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_firestore_backup_schedule" "daily" {
  project   = var.project
  database  = google_firestore_database.ledgers.name
  retention = "${var.backup_days * 24 * 60 * 60}s"

  daily_recurrence {}
}
