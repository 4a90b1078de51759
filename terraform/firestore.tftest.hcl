# What the provider's schema does not know: the values that bring a database back.

run "the_database_can_be_brought_back" {
  command = plan

  variables {
    project      = "acme-prod"
    location     = "eur3"
    region       = "europe-west1"
    jwt_issuer   = "https://login.example/"
    jwt_audience = "https://entitlements.example"
  }

  assert {
    condition     = google_firestore_database.ledgers.type == "FIRESTORE_NATIVE"
    error_message = "The store needs a database in native mode."
  }

  assert {
    condition     = google_firestore_database.ledgers.point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_ENABLED"
    error_message = "Without point-in-time recovery a mistake costs up to a day."
  }

  assert {
    condition     = google_firestore_database.ledgers.delete_protection_state == "DELETE_PROTECTION_ENABLED"
    error_message = "The database must be protected from deletion."
  }

  assert {
    condition     = google_firestore_backup_schedule.daily.retention == "2592000s"
    error_message = "A daily backup is kept for 30 days."
  }

  assert {
    condition     = length(google_firestore_backup_schedule.daily.daily_recurrence) == 1
    error_message = "Backups are made daily."
  }
}

run "no_backup_is_kept_longer_than_firestore_keeps_it" {
  command = plan

  variables {
    project      = "acme-prod"
    location     = "eur3"
    region       = "europe-west1"
    jwt_issuer   = "https://login.example/"
    jwt_audience = "https://entitlements.example"
    backup_days  = 99
  }

  expect_failures = [var.backup_days]
}
