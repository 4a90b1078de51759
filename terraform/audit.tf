# Who read and wrote data through Google's APIs. Changes of configuration are logged by Google in any case.

locals {
  data_access = toset(["ADMIN_READ", "DATA_READ", "DATA_WRITE"])

  audited = {
    # Firestore's calls are logged under Datastore's name. The service itself is exempted: it writes a receipt for every
    # decision, and a log line for every document would cost more than the documents.
    "datastore.googleapis.com" = [google_service_account.service.member]

    "iam.googleapis.com"           = []
    "pubsub.googleapis.com"        = []
    "run.googleapis.com"           = []
    "secretmanager.googleapis.com" = []
    "storage.googleapis.com"       = []
    "sts.googleapis.com"           = []
  }
}

resource "google_project_iam_audit_config" "data_access" {
  for_each = local.audited

  project = var.project
  service = each.key

  dynamic "audit_log_config" {
    for_each = local.data_access

    content {
      log_type         = audit_log_config.value
      exempted_members = each.value
    }
  }
}

resource "google_logging_project_bucket_config" "default" {
  project        = var.project
  location       = "global"
  bucket_id      = "_Default"
  retention_days = var.log_days
}
