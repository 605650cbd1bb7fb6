# Debian packages: which are missing, and installing them where that is allowed.

listed_packages() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' third_party/debian-packages.txt; }

missing_packages() {
  local package state
  listed_packages | while read -r package; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $state == installed ]] || printf '%s ' "$package"
  done
}

install_packages() {
  local missing run=()
  if [[ $(uname -s)-$(uname -m) != Linux-x86_64 ]]; then
    die "gear builds on Linux x86-64 only, because its pinned LibTorch does; this is $(uname -s) $(uname -m)."
  fi
  if ! command -v dpkg-query >/dev/null; then
    say "This is no Debian: the packages of third_party/debian-packages.txt are taken as installed."
    return
  fi
  missing=$(missing_packages)
  if [[ -z $missing ]]; then
    say "All $(listed_packages | wc -l) Debian packages are installed."
    return
  fi

  if [[ $EUID != 0 ]]; then
    if ! sudo -n true 2>/dev/null; then
      die "some Debian packages are missing and this user may not install them; run" \
        "\`sudo apt-get install -y --no-install-recommends ${missing% }\`, then $SCRIPT again."
    fi
    run=(sudo -n)
  fi
  run+=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300
    -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)
  say "Installing ${missing% }"
  "${run[@]}" update || say "apt-get update failed; going on with the package lists that are there."
  # shellcheck disable=SC2086  # one word per package
  "${run[@]}" install -y --no-install-recommends $missing
}
