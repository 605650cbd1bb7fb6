# Shared by the scripts of this folder: named phases with progress, a log and a time each, and one
# sentence when something fails. Source it first; it also goes to the root of the repository.

set -Eeuo pipefail

GEAR_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$GEAR_ROOT"

SCRIPT=$(basename "$(dirname "$0")")/$(basename "$0")  # "scripts/test", for messages
readonly SCRIPT
readonly LOG_DIR="$GEAR_ROOT/build/logs"
readonly SAID=97  # exit status of a subshell that has already said why it failed

PHASE=""         # what is being done, as a sentence part: "building gear"
PHASE_ADVICE=""  # what to do when that fails
PHASE_LOG=""
PHASE_TEE=""     # process id of the tee that writes the log
BACKGROUND=""    # process id of what runs beside a phase, such as a display of progress
PHASE_TIMES=()   # "name<TAB>seconds", in order

exec 3>&1 4>&2  # the terminal, also while a phase writes to its log

in_subshell() { [[ $BASHPID != "$$" ]]; }

say() { printf '%s\n' "$*"; }

relative() { printf '%s' "${1#"$GEAR_ROOT"/}"; }

# Ends the script with one sentence for something a user can change.
die() {
  if in_subshell; then
    printf '%s: %s\n' "$SCRIPT" "$*" >&2
    exit "$SAID"
  fi
  close_log
  trap - ERR
  printf '\n%s: %s\n' "$SCRIPT" "$*" >&2
  exit 1
}

# run_phase NAME "what is being done" "what to do when it fails" FUNCTION [ARGUMENTS]
# Output goes to the terminal and to build/logs/NAME.log.
run_phase() {
  local name=$1 started=$SECONDS
  PHASE=$2 PHASE_ADVICE=$3 PHASE_LOG="$LOG_DIR/$1.log"
  shift 3
  mkdir -p "$LOG_DIR"
  printf '\n== %s\n' "$PHASE"
  exec > >(exec tee -i "$PHASE_LOG") 2>&1
  PHASE_TEE=$!
  "$@"
  close_log
  PHASE_TIMES+=("$name"$'\t'"$((SECONDS - started))")
  PHASE="" PHASE_ADVICE="" PHASE_LOG=""
}

stop_background() {
  [[ -n $BACKGROUND ]] || return 0
  kill "$BACKGROUND" 2>/dev/null || true
  wait "$BACKGROUND" 2>/dev/null || true
  BACKGROUND=""
}

# Gives the terminal back and waits until the log is whole.
close_log() {
  stop_background
  exec 1>&3 2>&4
  [[ -z $PHASE_TEE ]] || wait "$PHASE_TEE" || true
  PHASE_TEE=""
}

print_times() {
  local entry name seconds
  printf '\nTime taken:\n'
  for entry in "${PHASE_TIMES[@]}"; do
    IFS=$'\t' read -r name seconds <<<"$entry"
    printf '  %-14s %3d min %02d s\n' "$name" $((seconds / 60)) $((seconds % 60))
  done
  printf '  %-14s %3d min %02d s\n' "all" $((SECONDS / 60)) $((SECONDS % 60))
}

on_error() {
  local status=$1 command=$2
  if in_subshell; then exit "$status"; fi
  trap - ERR
  close_log
  if [[ $status == "$SAID" ]]; then exit 1; fi
  if [[ -n $PHASE ]]; then
    printf '\n%s: %s failed (exit %d): %s, then run %s again; it continues there. The log is %s.\n' \
      "$SCRIPT" "$PHASE" "$status" "$PHASE_ADVICE" "$SCRIPT" "$(relative "$PHASE_LOG")" >&2
  else
    printf '\n%s: `%s` failed (exit %d).\n' "$SCRIPT" "$command" "$status" >&2
  fi
  exit 1
}
trap 'on_error $? "$BASH_COMMAND"' ERR

on_interrupt() {
  in_subshell && exit 130
  trap - ERR
  close_log
  printf '\n%s: interrupted%s; run it again to continue there.\n' \
    "$SCRIPT" "${PHASE:+ while $PHASE}" >&2
  exit 130
}
trap on_interrupt INT TERM
