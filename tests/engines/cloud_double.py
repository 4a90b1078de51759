"""
A double of `gcloud`, and of what else the scripts of deploy/ call: Google's cloud cannot be reached in a test.

Started as the command that it is named after. It writes its argv to seen.jsonl and keeps what it was told in
state.json, both beside it, so that what a script sees is what it has done. It answers in the forms that the CLI and the
APIs document; what it was not taught ends with 64. At the call numbered fail_at it fails: before it did anything, or,
where persisted is true, after.
"""

# pathlib alone is a third of the time that a call takes.
import json
import os
import sys
from typing import Any

HERE = os.path.dirname(sys.argv[0])
PROJECT = "projects/my-project"


def read(file: str) -> str:
    with open(file) as opened:
        return opened.read()


def write(file: str, text: str, mode: str = "w") -> None:
    with open(file, mode) as opened:
        opened.write(text)


def options_of(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    words = [each for each in argv if not each.startswith("-")]
    pairs = [each[2:].partition("=") for each in argv if each.startswith("--")]
    return words, {name: value for name, _, value in pairs}


def database_of(state: dict[str, Any], name: str) -> dict[str, Any]:
    for each in state["databases"]:
        if each["name"] == f"{PROJECT}/databases/{name}":
            return dict(each)
    print(f"ERROR: (gcloud.firestore.databases.describe) NOT_FOUND: {name}", file=sys.stderr)
    sys.exit(1)


def new_revision(service: dict[str, Any], state: dict[str, Any], options: dict[str, str]) -> None:
    """As `gcloud run deploy` and `services update` do with --no-traffic: a revision, ready, with its tag."""
    name = f"svc-{len(state['revisions']) + 1:05}"
    template = service["spec"]["template"]
    container = template["spec"]["containers"][0]
    if image := options.get("image"):
        container["image"] = image
    if pair := options.get("update-env-vars"):
        variable, _, value = pair.partition("=")
        container["env"] = [each for each in container["env"] if each["name"] != variable]
        container["env"].append({"name": variable, "value": value})
    if pair := options.get("update-labels"):
        label, _, value = pair.partition("=")
        template["metadata"]["labels"][label] = value
    ready = "False" if state.get("unready") else "True"
    state["revisions"][name] = revision(name, ready, template)
    service["status"]["latestCreatedRevisionName"] = name
    if tag := options.get("tag"):
        retag(service, {tag: name})


def revision(name: str, ready: str = "True", template: dict[str, Any] | None = None) -> dict[str, Any]:
    of = json.loads(json.dumps(template or {"metadata": {"labels": {}}, "spec": {"containers": [{"image": "old"}]}}))
    labels = {**of["metadata"]["labels"], "serving.knative.dev/service": "svc"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": of["spec"],
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def retag(service: dict[str, Any], tags: dict[str, str]) -> None:
    kept = [each for each in service["status"]["traffic"] if each.get("tag") not in tags]
    new = [
        {"revisionName": name, "tag": tag, "url": f"https://{tag}---svc-x-ew.a.run.app"} for tag, name in tags.items()
    ]
    service["status"]["traffic"] = kept + new


def update_traffic(service: dict[str, Any], options: dict[str, str]) -> None:
    split = dict(each.split("=") for each in options["to-revisions"].split(","))
    assert sum(map(int, split.values())) == 100, split
    gone = options.get("remove-tags", "").split(",")
    kept = [each for each in service["status"]["traffic"] if "tag" in each and each["tag"] not in gone]
    tagged = [] if "clear-tags" in options else kept
    service["status"]["traffic"] = [{"revisionName": name, "percent": int(part)} for name, part in split.items()]
    service["status"]["traffic"] += tagged
    if tags := options.get("update-tags"):
        retag(service, dict(each.split("=") for each in tags.split(",")))


def answer(name: str, argv: list[str], state: dict[str, Any]) -> Any:
    words, options = options_of(argv)
    match [name, *words]:
        case ["gcloud", "run", "services", "describe", "svc"]:
            return state["service"]
        case ["gcloud", "run", "revisions", "describe", revision_name]:
            return state["revisions"][revision_name]
        case ["gcloud", "run", "services", "update-traffic", "svc"]:
            return update_traffic(state["service"], options)
        case ["gcloud", "run", "services", "update", "svc"] | ["gcloud", "run", "deploy", "svc"]:
            assert "no-traffic" in options
            return new_revision(state["service"], state, options)
        case ["gcloud", "run", "services", "add-iam-policy-binding", "svc"]:
            return state["bindings"].update({options["member"]: options["role"]})
        case ["gcloud", "firestore", "databases", "list"]:
            return state["databases"]
        case ["gcloud", "firestore", "databases", "describe"]:
            return database_of(state, options["database"])
        case ["gcloud", "firestore", "databases", "restore"]:
            made = f"{PROJECT}/databases/{options['destination-database']}"
            state["databases"].append({"name": made, "type": "FIRESTORE_NATIVE"})
            state["operations"] = [{"name": f"{made}/operations/1", "metadata": {}}, {"done": True}]
            return {"name": f"{made}/operations/1"}
        case ["gcloud", "firestore", "databases", "delete"]:
            gone = database_of(state, options["database"])
            state["databases"].remove(gone)
            return None
        case ["gcloud", "firestore", "operations", "list"]:
            if len(state["operations"]) > 1:  # not done the first time it is looked at, unless the state says so
                return [state["operations"].pop(0)]
            return state["operations"]
        case ["gcloud", "firestore", "backups", "list"]:
            return state["backups"]
        case ["gcloud", "firestore", "backups", "schedules", "list"]:
            return state["schedules"]
        case ["gcloud", "secrets", "versions", "list", "keys"]:
            assert options["filter"] == "state=ENABLED"
            return [each for each in state["versions"] if each["state"] == "ENABLED"]
        case ["gcloud", "secrets", "versions", "access", "latest"]:
            return write(options["out-file"], state["versions"][-1]["value"])
        case ["gcloud", "secrets", "versions", "add", "keys"]:
            number = len(state["versions"]) + 1
            made = {"name": f"projects/7/secrets/keys/versions/{number}", "state": "ENABLED"}
            return state["versions"].append({**made, "value": read(options["data-file"])})
        case ["gcloud", "secrets", "versions", "disable", number]:
            return state["versions"][int(number) - 1].update(state="DISABLED")
        case ["gcloud", "pubsub", "subscriptions", "describe", "sub"]:
            return {"pushConfig": state["push"]}
        case ["gcloud", "pubsub", "subscriptions", "update", "sub"]:
            state["push"]["pushEndpoint"] = options["push-endpoint"]
            token = {"serviceAccountEmail": options["push-auth-service-account"]}
            return state["push"].update(oidcToken={**token, "audience": options["push-auth-token-audience"]})
        case ["gcloud", "projects", "describe", "my-project"]:
            return {"projectId": "my-project", "projectNumber": "7"}
        case ["gcloud", "iam", "service-accounts", "list"]:
            return state["accounts"]
        case ["gcloud", "iam", "service-accounts", "create", account]:
            return state["accounts"].append({"email": f"{account}@my-project.iam.gserviceaccount.com"})
        case ["gcloud", "iam", "service-accounts", "disable", email]:
            return next(each for each in state["accounts"] if each["email"] == email).update(disabled=True)
        case ["gcloud", "iam", "service-accounts", "add-iam-policy-binding", email]:
            return state["bindings"].update({f"{email} {options['member']}": options["role"]})
        case ["gcloud", "auth", "print-access-token"]:
            return "ya29.a-token-that-no-argument-may-hold"
        case ["gcloud", "auth", "configure-docker", _]:
            return None
        case ["gcloud", "artifacts", "docker", "images", "scan", _]:
            return {"done": True, "response": {"scan": f"{PROJECT}/locations/europe/scans/1"}}
        case ["gcloud", "artifacts", "docker", "images", "list-vulnerabilities", _]:
            return state["vulnerabilities"]
        case ["docker", "image", "inspect", image, _]:
            return ["other.example/a/b@sha256:" + "b" * 64, f"{image.rpartition(':')[0]}@sha256:" + "a" * 64]
        case ["curl", *_]:
            (header,) = [each for each in argv if each.startswith("@")]
            assert read(header[1:]) == "Authorization: Bearer ya29.a-token-that-no-argument-may-hold\n"
            count = state["errors"] if any("5xx" in each for each in argv) else state["requests"]
            result = [{"metric": {}, "value": [1.5, count]}]
            return {"status": "success", "data": {"resultType": "vector", "result": result}}
        case ["docker", "push", _] | ["sleep", _] | ["python3", *_] | ["tai-autonomics", *_]:
            return None
        case _:
            print(f"the double does not know: {name} {argv}", file=sys.stderr)
            sys.exit(64)


def main() -> None:
    name, argv = sys.argv[0].rpartition("/")[2], sys.argv[1:]
    state = json.loads(read(f"{HERE}/state.json"))
    write(f"{HERE}/seen.jsonl", json.dumps([name, *argv]) + "\n", mode="a")
    state["calls"] += 1
    fails = state["calls"] == state.get("fail_at")
    said = None if fails and not state.get("persisted") else answer(name, argv, state)
    write(f"{HERE}/state.json", json.dumps(state))
    if fails:
        print("ERROR: UNAVAILABLE: the double was told to fail", file=sys.stderr)
        sys.exit(1)
    if said is not None:
        print(said if isinstance(said, str) else json.dumps(said))
