#!/usr/bin/env bash
# A real S3 server for tests: versitygw over a folder. Conditional writes (If-None-Match, If-Match) are correct
# under races, objects are plain files, and a killed server loses nothing it acknowledged.
#
#   s3.sh installable        exit 0 if the server is installed or can be (needs Go)
#   s3.sh install            once; about 3 minutes the first time, kept in $S3_HOME
#   s3.sh start DIR          prints the endpoint URL; a free port, kept over restarts (or $S3_PORT)
#   s3.sh bucket DIR NAME    makes a bucket (a folder)
#   s3.sh kill DIR           SIGKILL;  s3.sh stop DIR  clean stop
#
# Credentials: access key "test", secret "testtest". Region us-east-1, path-style requests.
set -euo pipefail
VERSION=v1.8.0
HOME_DIR=${S3_HOME:-$HOME/.cache/thermocline/s3}
BIN=$HOME_DIR/versitygw-$VERSION

installable() {
  [ -x "$BIN" ] && return
  command -v go >/dev/null || { echo "needs Go to install versitygw" >&2; exit 1; }
}
install() {
  [ -x "$BIN" ] && return
  installable
  mkdir -p "$HOME_DIR"
  # One installs, others wait for it.
  (
    flock 9
    [ -x "$BIN" ] && exit
    staging=$(mktemp -d "$HOME_DIR/install.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    CGO_ENABLED=0 GOBIN=$staging go install -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@$VERSION" >&2
    mv "$staging/versitygw" "$BIN"
  ) 9>"$HOME_DIR/install.lock"
}
# A port that was free a moment ago: the kernel hands out others first.
free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  echo "no free port" >&2; exit 1
}
running() { [ -f "$1/s3.pid" ] && kill -0 "$(cat "$1/s3.pid")" 2>/dev/null; }

# Starts on a port and waits until it answers; fails if the server ends, as it does where the port is taken.
serve() {
  local dir=$1 port=$2
  ROOT_ACCESS_KEY=test ROOT_SECRET_KEY=testtest setsid "$BIN" --port "127.0.0.1:$port" --quiet \
    posix --sidecar "$dir/meta" "$dir/objects" >>"$dir/s3.log" 2>&1 </dev/null &
  echo $! >"$dir/s3.pid"
  for _ in $(seq 200); do
    running "$dir" || return 1
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      # Another process may have taken the port first; then ours is about to end.
      sleep 0.1
      running "$dir" || return 1
      echo "http://127.0.0.1:$port" | tee "$dir/s3.url"
      echo "$port" >"$dir/s3.port"
      return
    fi
    sleep 0.05
  done
  return 1
}
start() {
  mkdir -p "$1/objects" "$1/meta"
  local dir; dir=$(cd "$1" && pwd)
  if running "$dir"; then cat "$dir/s3.url"; return; fi
  install
  local kept; kept=${S3_PORT:-$(cat "$dir/s3.port" 2>/dev/null || true)}
  for _ in 1 2 3 4 5; do
    serve "$dir" "${kept:-$(free_port)}" && return
  done
  echo "s3.sh: did not start:" >&2; tail -n 5 "$dir/s3.log" >&2; exit 1
}
halt() {
  running "$2" || return 0
  kill "-$1" "$(cat "$2/s3.pid")"
  for _ in $(seq 100); do running "$2" || { rm -f "$2/s3.pid"; return 0; }; sleep 0.05; done
  echo "s3.sh: still running" >&2; exit 1
}
case "${1:-}" in
  installable) installable ;;
  install) install ;;
  start) start "$2" ;;
  bucket) mkdir -p "$2/objects/$3" ;;
  stop) halt TERM "$2" ;;
  kill) halt KILL "$2" ;;
  *) sed -n '2,13p' "$0"; exit 2 ;;
esac
