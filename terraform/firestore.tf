# The database, what brings it back (point-in-time recovery of the last 7 days, a backup a day), and its indexes.

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

  depends_on = [google_project_service.api]
}

resource "google_firestore_backup_schedule" "daily" {
  project   = var.project
  database  = google_firestore_database.ledgers.name
  retention = "${var.backup_days * 24 * 60 * 60}s"

  daily_recurrence {}
}

# indexes.json is firestore.indexes.json of the repository's root, which the store's queries are tested against.
locals {
  indexes = jsondecode(file("${path.module}/indexes.json"))

  # The one collection whose name is a setting.
  collections = { receipts = var.receipts_collection }

  composites = {
    for index in local.indexes.indexes :
    join(" ", concat([index.collectionGroup], [for field in index.fields : "${field.fieldPath}:${field.order}"])) => index
  }

  fields = { for field in local.indexes.fieldOverrides : "${field.collectionGroup} ${field.fieldPath}" => field }
}

resource "google_firestore_index" "composite" {
  for_each = local.composites

  project     = var.project
  database    = google_firestore_database.ledgers.name
  collection  = lookup(local.collections, each.value.collectionGroup, each.value.collectionGroup)
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields

    content {
      field_path = fields.value.fieldPath
      order      = fields.value.order
    }
  }
}

# Every other field stays out of the indexes, or is in the one that is asked for; one has a date after which Firestore
# deletes its document.
resource "google_firestore_field" "override" {
  for_each = local.fields

  project    = var.project
  database   = google_firestore_database.ledgers.name
  collection = lookup(local.collections, each.value.collectionGroup, each.value.collectionGroup)
  field      = each.value.fieldPath

  index_config {
    dynamic "indexes" {
      for_each = each.value.indexes

      content {
        query_scope = indexes.value.queryScope
        order       = indexes.value.order
      }
    }
  }

  dynamic "ttl_config" {
    for_each = try(each.value.ttl, false) ? [true] : []

    content {}
  }
}
