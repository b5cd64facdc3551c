#!/usr/bin/env bash
# Installs what the build and the tests need beyond the Rust, Go and Python toolchains. Does nothing, quickly, when
# nothing is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "setup: $*" >&2; }

have_libclang() { ldconfig -p 2>/dev/null | grep -q 'libclang[-.]' || compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null; }

packages=()
have_libclang || packages+=(libclang-dev)
command -v c++ >/dev/null || packages+=(g++)
command -v make >/dev/null || packages+=(make)
command -v curl >/dev/null || packages+=(curl)
if [ ${#packages[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  else
    say "please install: ${packages[*]}   (Debian: sudo apt-get install ${packages[*]})"
    exit 1
  fi
fi

# DuckDB reads the Delta tables in the tests.
venv=${THERMOCLINE_VENV:-$HOME/.cache/thermocline/venv}
stamp=$venv/.requirements
if ! cmp -s tests/requirements.txt "$stamp" 2>/dev/null; then
  say "making a Python environment for the tests in $venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
  cp tests/requirements.txt "$stamp"
fi

# A real S3 server for the tests, built with Go.
if command -v go >/dev/null; then
  tests/services/s3.sh install
else
  say "Go is missing: the S3 tests will be skipped (required when CI=true)"
fi
