# shellcheck shell=bash disable=SC2034
# Sourced by the scripts beside it: how a step is said and done.
#   inputs "$@"           takes --dry-run out of a script's arguments; the others are then in the array given
#   must NAME VALUE FORM  ends the script where the value has another form, before its first step
#   step COMMAND…         says the command, and carries it out
#   ask NAME STAND_IN COMMAND…      the same, and keeps the answer
#   pick NAME STAND_IN JSON FILTER  what jq finds in an answer; ends with 1 where it is not there
# With --dry-run each command is said on stdout and none is run: what only an answer could tell has its stand-in, in
# capitals, and nothing counts as done already. Without it commands, and what steps say, go to stderr, results to stdout.
# Exit status: 0 done, or done already; 1 checked and wrong, or a command failed (its own status); 2 misused.

PROJECT_FORM='[a-z][a-z0-9-]{4,28}[a-z0-9]'
REGION_FORM='[a-z]+-[a-z]+[0-9]+'
SERVICE_FORM='[a-z]([a-z0-9-]{0,47}[a-z0-9])?'
REVISION_FORM='[a-z]([a-z0-9-]{0,61}[a-z0-9])?'
DATABASE_FORM='[a-z][a-z0-9-]{2,61}[a-z0-9]|\(default\)'

dry=
given=()

inputs() {
  local each
  for each in "$@"; do
    case $each in
      --dry-run) dry=1 ;;
      -*) misused "$each is no option of this script; there is --dry-run" ;;
      *) given+=("$each") ;;
    esac
  done
}

misused() { echo "${0##*/}: $1" >&2; exit 2; }
wrong() { echo "${0##*/}: $1" >&2; exit 1; }

must() { [[ $2 =~ ^($3)$ ]] || misused "$1 is '$2', which is not of the form $3"; }

need() {
  local each
  [ -z "$dry" ] || return 0
  for each in "$@"; do
    command -v "$each" >/dev/null || misused "$each is not on the PATH"
  done
}

say() {
  local text
  printf -v text '%q ' "$@"
  echo "${text% }"
}

step() {
  if [ -n "$dry" ]; then say "$@"; return; fi
  say "$@" >&2
  "$@" </dev/null >&2
}

# The names of their own begin with an underscore: printf -v would fill them in place of the caller's.
ask() {
  local _name=$1 _stand_in=$2 _answer
  shift 2
  if [ -n "$dry" ]; then say "$@"; printf -v "$_name" %s "$_stand_in"; return; fi
  say "$@" >&2
  _answer=$("$@" </dev/null)
  printf -v "$_name" %s "$_answer"
}

pick() {
  local _found
  if [ -n "$dry" ]; then printf -v "$1" %s "$2"; return; fi
  _found=$(jq -er "$4" <<<"$3") || return 1
  printf -v "$1" %s "$_found"
}

# holds JSON FILTER: whether jq's filter is true of an answer; in a dry run whatever is asked for holds.
holds() { [ -n "$dry" ] || jq -e "$2" >/dev/null <<<"$1"; }

# already JSON FILTER: whether what the next step would do is done; in a dry run nothing is.
already() { [ -z "$dry" ] && jq -e "$2" >/dev/null <<<"$1"; }

result() { [ -n "$dry" ] || echo "$*"; }
