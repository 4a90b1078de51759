"""
What may not be in terraform/, as rules over what its files say: each gives a sentence for whatever breaks it.

The files are read as they are written, without a plan: expressions stay text. What they come to is asserted in
terraform/*.tftest.hcl.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pygohcl
from msgspec import Struct

from tai_autonomics.settings import TABLE

TERRAFORM: Final = Path(__file__).parents[2] / "terraform"
FILES: Final = {file.name: file.read_text() for file in sorted(TERRAFORM.glob("*.tf"))}

ROLES: Final = {
    "roles/artifactregistry.reader": "pulls images from the one repository it is given on",
    "roles/artifactregistry.writer": "pushes images to the one repository it is given on",
    "roles/containeranalysis.occurrences.viewer": "reads what the scanner found",
    "roles/iam.serviceAccountTokenCreator": "Pub/Sub signs its pushes as the one account it is given on",
    "roles/iam.serviceAccountUser": "runs a revision as the one account it is given on",
    "roles/iam.workloadIdentityUser": "a job of GitHub becomes the one account it is given on",
    "roles/logging.logWriter": "writes logs",
    "roles/logging.viewer": "reads logs, without data access",
    "roles/monitoring.metricWriter": "writes metrics",
    "roles/monitoring.viewer": "reads metrics",
    "roles/ondemandscanning.admin": "scans images that are nowhere yet, and has no other right",
    "roles/pubsub.publisher": "publishes to the one topic it is given on",
    "roles/pubsub.subscriber": "takes from the one subscription it is given on",
    "roles/run.invoker": "calls the one service it is given on",
    "roles/secretmanager.secretAccessor": "reads the one secret it is given on",
    "roles/storage.objectViewer": "reads the one bucket it is given on",
    "roles/telemetry.tracesWriter": "writes spans",
}
"""Google's roles that are given here, and what for: none of them deletes what could not be brought back."""
PROJECT_WIDE: Final = {
    "roles/containeranalysis.occurrences.viewer",
    "roles/logging.logWriter",
    "roles/logging.viewer",
    "roles/monitoring.metricWriter",
    "roles/monitoring.viewer",
    "roles/ondemandscanning.admin",
    "roles/telemetry.tracesWriter",
}
"""Those that Google gives on a project alone."""
PERMISSIONS_THAT_DELETE: Final = {
    "datastore.backupSchedules.delete",
    "datastore.backupSchedules.update",
    "datastore.backups.delete",
    "datastore.databases.bulkDelete",
    "datastore.databases.delete",
}
EVERYBODY: Final = ("allUsers", "allAuthenticatedUsers")
SECRETS: Final = {setting.name for setting in TABLE.values() if setting.secret}
WRITTEN: Final = {"scraping"}
"""Versions of secrets whose content is no secret: what the Prometheus sidecar is to scrape."""


class Resource(Struct, frozen=True):
    kind: str
    name: str
    body: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"


class Module(Struct, frozen=True):
    resources: tuple[Resource, ...]
    variables: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    locals: Mapping[str, Any]

    def of(self, *kinds: str) -> Iterator[Resource]:
        return (each for each in self.resources if each.kind in kinds)


def module(files: Mapping[str, str]) -> Module:
    read = [pygohcl.loads(text) for text in files.values()]
    return Module(
        resources=tuple(
            Resource(kind, name, body)
            for file in read
            for kind, named in file.get("resource", {}).items()
            for name, body in named.items()
        ),
        variables={name: body for file in read for name, body in file.get("variable", {}).items()},
        outputs={name: body for file in read for name, body in file.get("output", {}).items()},
        locals={name: value for file in read for name, value in file.get("locals", {}).items()},
    )


def violations(of: Module) -> list[str]:
    return [said for rule in RULES for said in rule(of)]


def buckets_are_closed_and_versioned(of: Module) -> Iterator[str]:
    for bucket in of.of("google_storage_bucket"):
        if bucket.body.get("public_access_prevention") != "enforced":
            yield f"{bucket} can be made public"
        if bucket.body.get("uniform_bucket_level_access") is not True:
            yield f"{bucket} has access lists of single objects"
        if bucket.body.get("versioning", {}).get("enabled") is not True:
            yield f"{bucket} keeps no versions"
        if bucket.body.get("force_destroy") is not False:
            yield f"{bucket} can be destroyed with what it holds"
    for grant in of.of("google_storage_bucket_acl", "google_storage_bucket_access_control"):
        yield f"{grant} gives access by a list"


def nothing_is_given_to_everybody(of: Module) -> Iterator[str]:
    for grant in of.resources:
        if any(everybody in str(grant.body) for everybody in EVERYBODY):
            yield f"{grant} names everybody"
    for name, variable in of.variables.items():
        if name != "invokers" and any(everybody in str(variable.get("default")) for everybody in EVERYBODY):
            yield f"var.{name} is everybody by default"


def roles_are_known_and_narrow(of: Module) -> Iterator[str]:
    for grant in of.resources:
        if grant.kind.endswith(("_iam_binding", "_iam_policy")):
            yield f"{grant} takes away what others were given"
        for role in _roles(grant.body):
            if role not in ROLES:
                yield f"{grant} gives {role}, which is not one of the known"
            elif grant.kind == "google_project_iam_member" and role not in PROJECT_WIDE:
                yield f"{grant} gives {role} on the whole project"


def no_role_deletes_what_cannot_be_brought_back(of: Module) -> Iterator[str]:
    for role, permissions in of.locals["permissions"].items():
        for permission in permissions:
            if permission in PERMISSIONS_THAT_DELETE or "*" in permission or permission.endswith(".setIamPolicy"):
                yield f"the role {role} has {permission}"
    for role in of.of("google_project_iam_custom_role"):
        if role.body.get("for_each") != "local.permissions" or role.body.get("permissions") != "each.value":
            yield f"{role} has permissions that are not in local.permissions"


def no_secret_is_written_down(of: Module) -> Iterator[str]:
    for key in of.of("google_service_account_key"):
        yield f"{key} is a key in the state"
    for version in of.of("google_secret_manager_secret_version"):
        if version.name not in WRITTEN:
            yield f"{version} puts a secret into the state"
    for name in SECRETS & of.locals["environment"].keys():
        if of.locals["environment"][name] != "firestore://":
            yield f"{name} is written down"
    if '{ for name, id in local.secret_ids : name => "gsm://' not in of.locals["settings"]:
        yield "secrets are not named by gsm://"
    for name, variable in of.variables.items():
        if name in {"secret", "password", "token"} or variable.get("sensitive"):
            yield f"var.{name} takes a secret, which the state would hold"


def what_is_precious_is_protected(of: Module) -> Iterator[str]:
    for database in of.of("google_firestore_database"):
        if database.body.get("delete_protection_state") != "DELETE_PROTECTION_ENABLED":
            yield f"{database} can be deleted"
        if database.body.get("point_in_time_recovery_enablement") != "POINT_IN_TIME_RECOVERY_ENABLED":
            yield f"{database} has no point-in-time recovery"
    for kept in of.of("google_firestore_database", "google_storage_bucket"):
        if kept.body.get("lifecycle", {}).get("prevent_destroy") is not True:
            yield f"{kept} can be destroyed by Terraform"
    for service in of.of("google_cloud_run_v2_service"):
        if service.body.get("deletion_protection") != "var.deletion_protection":
            yield f"{service} has no protection from deletion"
    if of.variables["deletion_protection"].get("default") is not True:
        yield "var.deletion_protection is off by default"
    for secret in of.of("google_secret_manager_secret"):
        if secret.name not in WRITTEN and secret.body.get("deletion_protection") != "var.deletion_protection":
            yield f"{secret} can be deleted"


def pushes_are_signed(of: Module) -> Iterator[str]:
    for subscription in of.of("google_pubsub_subscription"):
        push = subscription.body.get("push_config")
        if push is not None and not {"service_account_email", "audience"} <= push.get("oidc_token", {}).keys():
            yield f"{subscription} pushes without a token, or without an audience"


def nothing_dead_is_lost(of: Module) -> Iterator[str]:
    subscriptions = list(of.of("google_pubsub_subscription"))
    taken = {each.body["topic"] for each in subscriptions}
    for subscription in subscriptions:
        policy = subscription.body.get("dead_letter_policy")
        if policy is not None and policy["dead_letter_topic"] not in taken:
            yield f"{subscription} sends what is dead to {policy['dead_letter_topic']}, which nobody takes"
        if policy is None and "push_config" in subscription.body:
            yield f"{subscription} has no dead-letter topic"
        if subscription.body.get("expiration_policy", {}).get("ttl") != "":
            yield f"{subscription} is deleted when it is idle"


def one_repository_is_federated(of: Module) -> Iterator[str]:
    for provider in of.of("google_iam_workload_identity_pool_provider"):
        condition = provider.body.get("attribute_condition", "")
        for claim in ("assertion.repository ==", "assertion.repository_id =="):
            if claim not in condition:
                yield f"{provider} does not ask for {claim.split()[0]}"
    for grant in of.of("google_service_account_iam_member"):
        if "principalSet://" in grant.body["member"]:
            yield f"{grant} is given to a set of identities"


def reading_is_logged(of: Module) -> Iterator[str]:
    for service in ("datastore", "secretmanager", "storage"):
        if f"{service}.googleapis.com" not in of.locals["audited"]:
            yield f"who reads from {service} is not logged"
    for kind in ("ADMIN_READ", "DATA_READ", "DATA_WRITE"):
        if kind not in of.locals["data_access"]:
            yield f"{kind} is not logged"


def everything_is_described(of: Module) -> Iterator[str]:
    for name, variable in of.variables.items():
        if not variable.get("description") or not variable.get("type"):
            yield f"var.{name} has no description, or no type"
    for name, output in of.outputs.items():
        if not output.get("description"):
            yield f"output.{name} has no description"


def _roles(body: Mapping[str, Any]) -> Iterable[str]:
    """Google's own roles that a grant gives; a role of ours is a reference."""
    role = str(body.get("role", ""))
    text = str(body.get("for_each", "")) if role == "each.value" else role
    return [each.strip("\"'[]()") for each in text.replace(",", " ").replace("(", " ").split() if "roles/" in each]


RULES: Final[tuple[Callable[[Module], Iterator[str]], ...]] = (
    buckets_are_closed_and_versioned,
    nothing_is_given_to_everybody,
    roles_are_known_and_narrow,
    no_role_deletes_what_cannot_be_brought_back,
    no_secret_is_written_down,
    what_is_precious_is_protected,
    pushes_are_signed,
    nothing_dead_is_lost,
    one_repository_is_federated,
    reading_is_logged,
    everything_is_described,
)
