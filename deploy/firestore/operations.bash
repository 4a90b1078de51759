# shellcheck shell=bash
# Sourced after steps.bash: a database that is made, restored or cloned is so only once its operation is done, which
# gcloud does not wait for.

# until_done PROJECT DATABASE: at most an hour; ends with 1 where an operation failed.
until_done() {
  local look
  for ((look = 1; look <= 120; look++)); do
    ask operations '[]' gcloud firestore operations list --project="$1" --database="$2" --format=json
    holds "$operations" 'all(.[]; .error == null)' || wrong "$2: an operation failed: gcloud firestore operations list"
    if holds "$operations" 'length > 0 and all(.[]; .done == true)'; then return; fi
    step sleep 30
  done
  wrong "$2 is not ready after an hour: repeat this later"
}
