# LibTorch out of pinned PyPI wheels, in .deps/libtorch. Each wheel is fetched, checked against its
# hash, unpacked and only then stamped, so an interrupted installation goes on with the first wheel
# that has no stamp.

readonly DEPS_DIR="$GEAR_ROOT/.deps"
readonly LIBTORCH_DIR="$DEPS_DIR/libtorch"
readonly LIBTORCH_STAMPS="$LIBTORCH_DIR/.installed"

# The wheels are built for one Python and several baselines of glibc. Neither matters to C++, so pip is
# told which ones to take, whatever Python runs it.
readonly WHEEL_TAGS=(--only-binary=:all: --python-version 3.11 --implementation cp --abi cp311
  --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64
  --platform manylinux_2_25_x86_64 --platform manylinux_2_18_x86_64
  --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64
  --platform manylinux_2_12_x86_64 --platform manylinux_2_5_x86_64)

# Is this a machine to build CUDA code on? The same rule as GEAR_CUDA=AUTO in CMake.
has_cuda() {
  [[ -e /proc/driver/nvidia/version || -e /dev/nvidiactl ]] &&
    { command -v nvcc >/dev/null || [[ -x /usr/local/cuda/bin/nvcc ]]; }
}

# pins FILE...: "name version sha256 megabytes", one wheel a line.
pins() {
  sed -nE 's/^([A-Za-z0-9_.-]+)==([^ ]+) --hash=sha256:([0-9a-f]{64}) +# ([0-9]+) MB$/\1 \2 \3 \4/p' "$@"
}

# install_libtorch yes|no: with or without what a CUDA build needs.
install_libtorch() {
  local with_cuda=$1 files=(third_party/libtorch-cpu.txt) todo name version hash size
  [[ $with_cuda == yes ]] && files+=(third_party/libtorch-cuda.txt)
  lock_deps
  discard_other_versions
  mkdir -p "$LIBTORCH_STAMPS"
  todo=$(pins "${files[@]}" | without_stamped)
  if [[ -z $todo ]]; then
    say "LibTorch is installed in $(relative "$LIBTORCH_DIR")."
    return
  fi
  say "Wheels to fetch: $(awk '{ mb += $4 } END { print NR ", together " mb " MB" }' <<<"$todo")."
  while read -r name version hash size; do
    install_wheel "$name" "$version" "$hash" "$size"
  done <<<"$todo"
}

stamp_of() { printf '%s/%s-%s-%.16s' "$LIBTORCH_STAMPS" "$1" "$2" "$3"; }

without_stamped() {
  local name version hash size
  while read -r name version hash size; do
    [[ -e $(stamp_of "$name" "$version" "$hash") ]] || say "$name $version $hash $size"
  done
}

# Two installations at once would spoil each other's files; the lock goes when the script ends.
lock_deps() {
  mkdir -p "$DEPS_DIR"
  exec {DEPS_LOCK}>"$DEPS_DIR/.lock"
  flock --nonblock "$DEPS_LOCK" && return
  say "Waiting for another installation into $(relative "$DEPS_DIR") to end."
  flock "$DEPS_LOCK"
}

# Starts afresh when a stamp belongs to no pin: two versions must not mix in one folder.
discard_other_versions() {
  local stamp known
  [[ -d $LIBTORCH_STAMPS ]] || return 0
  known=$(pins third_party/libtorch-*.txt | while read -r name version hash _; do
    basename "$(stamp_of "$name" "$version" "$hash")"
  done)
  for stamp in "$LIBTORCH_STAMPS"/*; do
    [[ -e $stamp ]] || continue
    grep -qxF "$(basename "$stamp")" <<<"$known" && continue
    say "The pins have changed ($(basename "$stamp") is no longer one): installing afresh."
    rm -rf "$LIBTORCH_DIR"
    return
  done
}

install_wheel() {
  local name=$1 version=$2 hash=$3 size=$4 work="$DEPS_DIR/fetch"
  rm -rf "$work"
  mkdir -p "$work/tmp" "$work/wheel"
  say "$name $version: fetching $size MB"
  show_growth "$work" "$size" &
  BACKGROUND=$!
  fetch_wheel "$name" "$version" "$hash" "$work"
  stop_background
  say "$name $version: unpacking"
  python3 scripts/lib/unpack_wheel.py "$work"/wheel/*.whl "$LIBTORCH_DIR"
  : >"$(stamp_of "$name" "$version" "$hash")"
  rm -rf "$work"
}

fetch_wheel() {
  local name=$1 version=$2 hash=$3 work=$4 log="$4/pip.log"
  say "$name==$version --hash=sha256:$hash" >"$work/pin.txt"
  if TMPDIR="$work/tmp" python3 -m pip --disable-pip-version-check download --quiet --no-deps \
    --no-cache-dir --retries 5 --timeout 60 --require-hashes "${WHEEL_TAGS[@]}" \
    --dest "$work/wheel" --requirement "$work/pin.txt" >"$log" 2>&1; then
    return
  fi
  cat "$log"
  if grep -q 'DO NOT MATCH THE HASHES' "$log"; then
    die "$name $version was fetched but its hash is not the one pinned in third_party/;" \
      "do not use that package index, or correct the pin, then run $SCRIPT again."
  fi
  if grep -q 'No module named pip' "$log"; then
    die "python3 has no pip to fetch $name with; install Debian's python3-pip, then run $SCRIPT again."
  fi
  if grep -q 'No matching distribution' "$log"; then
    die "the package index has no $name $version or cannot be reached; check the network and" \
      "\`python3 -m pip config list\`, then run $SCRIPT again; it continues there."
  fi
  if grep -q 'No space left' "$log"; then
    die "no disk space left while fetching $name ($size MB); free about 6 GB, then run $SCRIPT again."
  fi
  die "fetching $name $version failed; check the network, then run $SCRIPT again;" \
    "it continues there. The log is $(relative "$PHASE_LOG")."
}

# Prints every ten seconds how much of a download has arrived, until it is stopped.
show_growth() {
  local folder=$1 total=$2 have
  trap - ERR INT TERM
  set +e
  # Not even the sleep may hold the log open once this is stopped.
  while sleep 10 >/dev/null 2>&1 && [[ -d $folder ]] && kill -0 "$$" 2>/dev/null; do
    have=$(du -s -B 1000000 "$folder" 2>/dev/null | cut -f1)
    say "  ${have:-0} of $total MB"
  done
}
