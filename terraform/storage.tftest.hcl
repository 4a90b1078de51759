# What the provider's schema does not know of the buckets, the registry, the audit and the indexes.

variables {
  project      = "acme-prod"
  region       = "europe-west1"
  location     = "eur3"
  jwt_issuer   = "https://login.example/"
  jwt_audience = "https://entitlements.example"
}

run "what_is_stored_is_kept_and_nobody_else_sees_it" {
  command = plan

  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.state, google_storage_bucket.backups] :
      bucket.versioning[0].enabled && bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced" && !bucket.force_destroy
    ])
    error_message = "A bucket is versioned, closed to the public, and not emptied by Terraform."
  }

  assert {
    condition     = google_artifact_registry_repository.images.vulnerability_scanning_config[0].enablement_config == "INHERITED"
    error_message = "Images are scanned."
  }

  assert {
    condition     = contains(keys(google_project_service.api), "containerscanning.googleapis.com")
    error_message = "Without its API nothing scans."
  }

  assert {
    condition     = toset(["KEEP", "DELETE"]) == toset([for policy in google_artifact_registry_repository.images.cleanup_policies : policy.action])
    error_message = "Old images go, and releases stay."
  }
}

run "who_reads_data_is_logged" {
  command = plan

  override_resource {
    target          = google_service_account.service
    values          = { member = "serviceAccount:service@acme-prod.iam.gserviceaccount.com" }
    override_during = plan
  }

  assert {
    condition = alltrue([
      for audit in google_project_iam_audit_config.data_access :
      toset([for each in audit.audit_log_config : each.log_type]) == toset(["ADMIN_READ", "DATA_READ", "DATA_WRITE"])
    ])
    error_message = "Reading and writing data is logged."
  }

  assert {
    condition = (
      keys(google_project_iam_audit_config.data_access) == [
        "datastore.googleapis.com", "iam.googleapis.com", "pubsub.googleapis.com", "run.googleapis.com",
        "secretmanager.googleapis.com", "storage.googleapis.com", "sts.googleapis.com",
      ]
    )
    error_message = "Databases, secrets, buckets and whoever becomes an account."
  }

  assert {
    condition = alltrue(flatten([
      for service, audit in google_project_iam_audit_config.data_access :
      [
        for each in audit.audit_log_config : coalesce(each.exempted_members, toset([])) == toset(
          service == "datastore.googleapis.com" ? ["serviceAccount:service@acme-prod.iam.gserviceaccount.com"] : []
        )
      ]
    ]))
    error_message = "Nobody but the service, and it for its own documents alone, is exempted."
  }
}

run "every_index_of_the_store_is_made" {
  command = plan

  assert {
    condition = (
      length(google_firestore_index.composite) == length(jsondecode(file("indexes.json")).indexes)
      && length(google_firestore_field.override) == length(jsondecode(file("indexes.json")).fieldOverrides)
    )
    error_message = "An index or an exemption is missing."
  }

  assert {
    condition = [for field in google_firestore_index.composite["receipts tenant:ASCENDING last:ASCENDING"].fields : "${field.field_path} ${field.order}"] == [
      "tenant ASCENDING", "last ASCENDING",
    ]
    error_message = "An index has other fields than its query."
  }

  assert {
    condition = (
      [for name, field in google_firestore_field.override : name if length(field.ttl_config) == 1] == ["claims expires"]
      && length(google_firestore_field.override["claims expires"].index_config[0].indexes) == 0
      && length(google_firestore_field.override["policies kept"].index_config[0].indexes) == 1
    )
    error_message = "Claims are deleted by their date; fields are indexed where a query asks for them."
  }
}

run "another_collection_of_receipts_has_the_same_indexes" {
  command = plan

  variables {
    receipts_collection = "decisions"
  }

  assert {
    condition = (
      google_firestore_index.composite["receipts tenant:ASCENDING last:ASCENDING"].collection == "decisions"
      && google_firestore_field.override["receipts tenant"].collection == "decisions"
      && google_firestore_field.override["heads tenant"].collection == "heads"
      && local.settings.FIRESTORE_COLLECTION == "decisions"
    )
    error_message = "The indexes are on another collection than the service's."
  }
}

run "whoever_restores_is_given_the_role_and_the_backups" {
  command = plan

  variables {
    restorers = ["group:dba@example.com"]
  }

  assert {
    condition     = google_project_iam_member.restoring["group:dba@example.com"].member == "group:dba@example.com"
    error_message = "Nobody could bring the database back."
  }
}
