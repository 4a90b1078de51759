"""terraform/ keeps to the policy, and each rule of it sees what it is there for."""

import pytest
from tests.house.terraform_policy import FILES, ROLES, module, violations

OURS = module(FILES)

BROKEN = [
    ("storage.tf", 'public_access_prevention    = "enforced"', "", "google_storage_bucket.state can be made public"),
    (
        "storage.tf",
        "uniform_bucket_level_access = true",
        "",
        "google_storage_bucket.state has access lists of single objects",
    ),
    ("storage.tf", "enabled = true", "enabled = false", "google_storage_bucket.state keeps no versions"),
    (
        "storage.tf",
        "force_destroy               = false",
        "force_destroy = true",
        "google_storage_bucket.state can be destroyed with what it holds",
    ),
    (
        "storage.tf",
        'resource "google_storage_bucket" "backups"',
        'resource "google_storage_bucket_acl" "a" {\n  bucket = "b"\n}\n\nresource "google_storage_bucket" "backups"',
        "google_storage_bucket_acl.a gives access by a list",
    ),
    (
        "identity.tf",
        '  role   = "roles/storage.objectViewer"\n  member = each.value',
        '  role   = "roles/storage.objectViewer"\n  member = "allAuthenticatedUsers"',
        "google_storage_bucket_iam_member.restoring names everybody",
    ),
    (
        "pubsub.tf",
        "  type        = set(string)\n  default     = []",
        '  type        = set(string)\n  default     = ["allUsers"]',
        "var.publishers is everybody by default",
    ),
    (
        "identity.tf",
        'google_project_iam_custom_role.role["service"].name',
        '"roles/editor"',
        "google_project_iam_member.service gives roles/editor, which is not one of the known",
    ),
    (
        "identity.tf",
        '"roles/logging.viewer", "roles/monitoring.viewer"',
        '"roles/datastore.owner", "roles/monitoring.viewer"',
        "google_project_iam_member.delivery gives roles/datastore.owner, which is not one of the known",
    ),
    (
        "identity.tf",
        '"roles/logging.viewer", "roles/monitoring.viewer"',
        '"roles/secretmanager.secretAccessor"',
        "google_project_iam_member.delivery gives roles/secretmanager.secretAccessor on the whole project",
    ),
    (
        "identity.tf",
        'resource "google_project_iam_member" "restoring"',
        'resource "google_project_iam_binding" "restoring"',
        "google_project_iam_binding.restoring takes away what others were given",
    ),
    (
        "identity.tf",
        '"datastore.databases.getMetadata",',
        '"datastore.databases.getMetadata", "datastore.databases.delete",',
        "the role service has datastore.databases.delete",
    ),
    (
        "identity.tf",
        '"datastore.backups.list",',
        '"datastore.backups.list", "datastore.backups.delete",',
        "the role restoring has datastore.backups.delete",
    ),
    ("identity.tf", '"run.routes.get",', '"run.*",', "the role steering has run.*"),
    (
        "identity.tf",
        "permissions = each.value",
        'permissions = ["datastore.databases.delete"]',
        "google_project_iam_custom_role.role has permissions that are not in local.permissions",
    ),
    (
        "identity.tf",
        "# People who bring a database back.",
        'resource "google_service_account_key" "k" {\n  service_account_id = "x"\n}',
        "google_service_account_key.k is a key in the state",
    ),
    (
        "secrets.tf",
        'resource "google_secret_manager_secret_version" "scraping"',
        'resource "google_secret_manager_secret_version" "setting"',
        "google_secret_manager_secret_version.setting puts a secret into the state",
    ),
    (
        "run.tf",
        'LOG_FORMAT                  = "json"',
        'TAI_WEBHOOK_SIGNING_SECRETS = "*=whsec_plain"',
        "TAI_WEBHOOK_SIGNING_SECRETS is written down",
    ),
    (
        "run.tf",
        '"firestore://"',
        '"postgresql://tai:pw@db/tai"',
        "STORE_URL is written down",
    ),
    ("run.tf", '"gsm://projects', '"projects', "secrets are not named by gsm://"),
    (
        "secrets.tf",
        'variable "plans_from_secret" {',
        'variable "token" {\n  description = "A token."\n  type = string\n}\n\nvariable "plans_from_secret" {',
        "var.token takes a secret, which the state would hold",
    ),
    (
        "firestore.tf",
        '"DELETE_PROTECTION_ENABLED"',
        '"DELETE_PROTECTION_DISABLED"',
        "google_firestore_database.ledgers can be deleted",
    ),
    (
        "firestore.tf",
        '"POINT_IN_TIME_RECOVERY_ENABLED"',
        '"POINT_IN_TIME_RECOVERY_DISABLED"',
        "google_firestore_database.ledgers has no point-in-time recovery",
    ),
    (
        "firestore.tf",
        "prevent_destroy = true",
        "prevent_destroy = false",
        "google_firestore_database.ledgers can be destroyed by Terraform",
    ),
    (
        "run.tf",
        "deletion_protection = var.deletion_protection",
        "deletion_protection = false",
        "google_cloud_run_v2_service.tai has no protection from deletion",
    ),
    (
        "run.tf",
        "type        = bool\n  default     = true\n}\n\nlocals",
        "type        = bool\n  default     = false\n}\n\nlocals",
        "var.deletion_protection is off by default",
    ),
    (
        "secrets.tf",
        "  deletion_protection = var.deletion_protection\n",
        "",
        "google_secret_manager_secret.setting can be deleted",
    ),
    (
        "pubsub.tf",
        "      audience              = local.push_audience\n",
        "",
        "google_pubsub_subscription.signals pushes without a token, or without an audience",
    ),
    (
        "pubsub.tf",
        "topic   = google_pubsub_topic.dead.id",
        "topic   = google_pubsub_topic.events.id",
        "google_pubsub_subscription.signals sends what is dead to google_pubsub_topic.dead.id, which nobody takes",
    ),
    (
        "pubsub.tf",
        "  dead_letter_policy {\n    dead_letter_topic     = google_pubsub_topic.dead.id\n"
        "    max_delivery_attempts = var.delivery_attempts\n  }\n",
        "",
        "google_pubsub_subscription.signals has no dead-letter topic",
    ),
    (
        "pubsub.tf",
        'ttl = ""',
        'ttl = "2678400s"',
        "google_pubsub_subscription.signals is deleted when it is idle",
    ),
    (
        "identity.tf",
        "assertion.repository == '${var.github_repository}' && ",
        "",
        "google_iam_workload_identity_pool_provider.github does not ask for assertion.repository",
    ),
    (
        "identity.tf",
        '"principal://iam.googleapis.com',
        '"principalSet://iam.googleapis.com',
        "google_service_account_iam_member.github is given to a set of identities",
    ),
    ("audit.tf", '"storage.googleapis.com"', '"sqladmin.googleapis.com"', "who reads from storage is not logged"),
    ("audit.tf", '"DATA_READ", ', "", "DATA_READ is not logged"),
    (
        "pubsub.tf",
        '  description = "The topic that events and commands are published to."\n',
        "",
        "var.topic has no description, or no type",
    ),
    (
        "outputs.tf",
        '  description = "The address of the service."\n',
        "",
        "output.url has no description",
    ),
]


def test_what_is_delivered_keeps_to_the_policy() -> None:
    assert violations(OURS) == []


@pytest.mark.parametrize(("file", "was", "becomes", "said"), BROKEN, ids=[each[3] for each in BROKEN])
def test_whatever_breaks_the_policy_is_seen(file: str, was: str, becomes: str, said: str) -> None:
    assert was in FILES[file]
    assert said in violations(module({**FILES, file: FILES[file].replace(was, becomes, 1)}))


def test_no_role_is_known_that_nobody_is_given() -> None:
    written = "".join(FILES.values())
    assert {role for role in ROLES if f'"{role}"' not in written} == set()
