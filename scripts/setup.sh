#!/usr/bin/env bash
# Installs what the build and the tests need beyond the Rust, Go and Python toolchains. Does nothing, quickly, when
# nothing is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "setup: $*" >&2; }

have_libclang() { ldconfig -p 2>/dev/null | grep -q 'libclang[-.]' || compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null; }

# What the build needs.
needed=()
have_libclang || needed+=(libclang-dev)
command -v c++ >/dev/null || needed+=(g++)
command -v make >/dev/null || needed+=(make)
# OpenSSL, which librdkafka brings, is configured by Perl with its standard modules.
perl -MIPC::Cmd -MFindBin -e1 2>/dev/null || needed+=(perl)
command -v curl >/dev/null || needed+=(curl)
# What tests against a real Kafka need: without it they are skipped, except with CI=true.
wanted=()
command -v java >/dev/null || wanted+=(default-jdk-headless)
command -v mvn >/dev/null || wanted+=(maven)
command -v kcat >/dev/null || wanted+=(kcat)

packages=("${needed[@]}" "${wanted[@]}")
if [ ${#packages[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  else
    say "please install: ${packages[*]}   (Debian: sudo apt-get install ${packages[*]})"
    [ ${#needed[@]} = 0 ] || exit 1
    say "until then the Kafka tests will be skipped (required when CI=true)"
  fi
fi

# DuckDB reads the Delta tables in the tests, and a client of Kafka that is not ours produces.
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
  # Prometheus' engine and its test files, which the PromQL tests compare with.
  (cd tests/promdiff && go mod download)
else
  say "Go is missing: the S3 tests and Prometheus' PromQL tests will be skipped (required when CI=true)"
fi

# A real Kafka for the tests, run from its jars.
if tests/services/kafka.sh installable 2>/dev/null; then
  tests/services/kafka.sh install
fi
