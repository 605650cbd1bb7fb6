# Configuring, building and testing with the presets of CMakePresets.json.

# As many compilers as there are cores, but no more than one for each 2 GB of memory: a file that
# includes much of LibTorch takes up to that.
build_jobs() {
  local cores memory_kb jobs
  cores=$(nproc)
  memory_kb=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  jobs=$((memory_kb / 2000000))
  ((jobs < cores)) || jobs=$cores
  ((jobs > 0)) || jobs=1
  say "$jobs"
}

# Cached objects serve every checkout and build folder: paths below the repository count as relative.
export CCACHE_BASEDIR="$GEAR_ROOT" CCACHE_NOHASHDIR=1

# build_preset PRESET [TARGET...]: everything, or only the targets.
build_preset() {
  local preset=$1
  shift
  if [[ ! -f build/$preset/build.ninja || CMakePresets.json -nt build/$preset/build.ninja ]]; then
    cmake --preset "$preset"
  fi
  cmake --build --preset "$preset" --parallel "$(build_jobs)" ${1:+--target "$@"}
}

# test_preset PRESET [CTEST ARGUMENTS]
test_preset() {
  local preset=$1
  shift
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --parallel 2 "$@"
}
