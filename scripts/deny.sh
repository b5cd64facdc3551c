#!/usr/bin/env bash
# Dependency rules (deny.toml): who may use what, licenses, sources, one arrow, known vulnerabilities.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=0.20.2
if ! cargo deny --version 2>/dev/null | grep -q "$version"; then
  echo "deny: installing cargo-deny $version (a few minutes, once)" >&2
  cargo install --quiet --locked cargo-deny --version "$version"
fi
checks=(bans licenses sources)
if cargo deny fetch db 2>/dev/null; then
  checks+=(advisories)
else
  echo "deny: github.com/RustSec/advisory-db cannot be fetched: advisories are NOT checked" >&2
fi
cargo deny --all-features check "${checks[@]}"
