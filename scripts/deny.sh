#!/usr/bin/env bash
# Dependency rules (deny.toml): who may use what, licenses, sources, one arrow.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=0.20.2
if ! cargo deny --version 2>/dev/null | grep -q "$version"; then
  echo "deny: installing cargo-deny $version (a few minutes, once)" >&2
  cargo install --quiet --locked cargo-deny --version "$version"
fi
cargo deny --all-features check bans licenses sources
