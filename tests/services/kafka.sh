#!/usr/bin/env bash
# A real Apache Kafka for tests: KRaft brokers on 127.0.0.1 run straight from the Maven jars, no container.
# Needs: Linux, bash, a JDK 17 or newer, Maven (first use only; later runs work offline).
#
#   kafka.sh installable                      exit 0 if the jars are there or can be fetched, and a JDK runs them
#   kafka.sh install                          fetch the jars into $KAFKA_HOME (start does it when needed)
#   kafka.sh start  DIR                       start the brokers of DIR that do not run; prints host:port[,host:port]
#   kafka.sh stop   DIR [NODE]                clean shutdown of all brokers, or of one; data stays
#   kafka.sh kill   DIR [NODE]                kill -9 instead; a following start recovers
#   kafka.sh status DIR                       prints the bootstrap address and one line per broker; exit 0 when all answer
#   kafka.sh topic  DIR NAME [PARTS [RF [KEY=VALUE...]]]   create a topic unless it exists: 8 partitions,
#                                             as many replicas as brokers but at most 3
#   kafka.sh tool   DIR CLASS [ARG...]        run a class of org.apache.kafka.tools against the cluster, e.g.
#                                             kafka.sh tool DIR consumer.group.ConsumerGroupCommand --list
# DIR holds everything of one cluster (config, data, logs, pid files). It cannot be moved; rm -r it after stop to
# start afresh.
# Only the bootstrap address (or a tool's output) goes to stdout, all messages go to stderr.
#
# Environment; the settings marked * are fixed when DIR is first started:
#   KAFKA_PORT   * first port (19092), best below 32768; 0: a free block, which no other cluster takes as long as
#                  DIR exists. Node i uses four from port+4(i-1): PLAINTEXT, controller, SASL, SSL
#   KAFKA_NODES  * number of brokers, each is a controller too (1; 3 to test failover)
#   KAFKA_SASL   * "user:password" opens a SASL_PLAINTEXT listener at port+2: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
#   KAFKA_SSL    * 1 opens an SSL listener at port+3 (self-signed; clients trust DIR/ssl-ca.pem)
#   KAFKA_CONFIG * more server.properties lines, e.g. $'log.segment.bytes=1048576\nmessage.max.bytes=16777216'
#   KAFKA_HEAP     heap of each broker (512m); KAFKA_LOG its log level (warn); KAFKA_START_TIMEOUT in seconds (60)
#   KAFKA_HOME     cache of the jars (~/.cache/thermocline/kafka-VERSION); JAVA_HOME and MVN are honoured
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
KAFKA_HOME=${KAFKA_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/thermocline/kafka-$version}
java=${JAVA_HOME:+$JAVA_HOME/bin/}

PORT_BLOCK=64

say() { echo "kafka.sh: $*" >&2; }
die() { say "$@"; exit 1; }

installable() {
  local release; release=$("${java}java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') || true
  [ "${release:-0}" -ge 17 ] || die "needs a JDK of 17 or newer"
  [ -e "$KAFKA_HOME/lib/.complete" ] || command -v "${MVN:-mvn}" >/dev/null || die "needs Maven to fetch the jars"
}

install() {
  local have; have=$(cat "$KAFKA_HOME/lib/.complete" 2>/dev/null || true)
  [ "$have" = "$version" ] && return
  [ -z "$have" ] || die "$KAFKA_HOME holds Kafka $have and not $version, choose another KAFKA_HOME"
  say "fetching Kafka $version into $KAFKA_HOME"
  mkdir -p "$KAFKA_HOME"
  local tmp; tmp=$(mktemp -d "$KAFKA_HOME/lib.XXXXXX")
  "${MVN:-mvn}" -q -B -f "$here/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$tmp" >&2 || { rm -rf "$tmp"; die "Maven failed"; }
  echo "$version" >"$tmp/.complete"
  # another process may have been faster: then its copy stays
  mv -T "$tmp" "$KAFKA_HOME/lib" 2>/dev/null || rm -rf "$tmp"
  [ -e "$KAFKA_HOME/lib/.complete" ] || die "$KAFKA_HOME/lib is incomplete, remove it"
}

# short-lived tool JVM: only warnings, quick start
run_java() {
  "${java}java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$KAFKA_HOME/lib/*" "$@"
}

uuid() { # a Kafka uuid: 16 random bytes in URL-safe base64 that does not begin with '-'
  local u=-
  while [ "${u#-}" != "$u" ]; do u=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='); done
  echo "$u"
}

# cluster.conf fixes ports, ids and options, so that every later command needs only DIR
load() { [ -f "$dir/cluster.conf" ] || die "$dir: no cluster here, start it first"; . "$dir/cluster.conf"; }
each() { seq 1 "$nodes"; }
port() { echo $((base_port + 4 * ($1 - 1) + ${2:-0})); }
bootstrap() { each | while read -r i; do echo "127.0.0.1:$(port "$i")"; done | paste -sd, -; }

pid_of() { # prints the pid if node $1 runs; a stale pid file whose pid was reused is not trusted
  local pid; pid=$(cat "$dir/node-$1/pid" 2>/dev/null) || return 1
  ps -ww -p "$pid" -o args= 2>/dev/null | grep -qF "kafka.Kafka $dir/node-$1/server.properties" && echo "$pid"
}

# Asks node $1 for metadata (Metadata v1, no topics) over bash's /dev/tcp, prints how many brokers it knows.
brokers_seen() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$(port "$1")" || exit 1
    printf '\0\0\0\016\0\003\0\001\0\0\0\001\377\377\0\0\0\0' >&3
    timeout 5 head -c 12 <&3 | od -An -tu1 -j8 | awk '{n = $4 + 256 * $3} END {print n + 0}'
  ) 2>/dev/null || echo 0
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

check_free() { # else another cluster would answer in place of node $1
  local p
  for p in "$(port "$1")" "$(port "$1" 1)"; do
    if answers "$p"; then die "port $p is in use, choose another KAFKA_PORT"; fi
  done
}

# Prints the first port of a free block and reserves it: a link in $KAFKA_HOME/ports to the directory that has it.
reserve_ports() {
  local ports=$KAFKA_HOME/ports base i
  mkdir -p "$ports"
  exec 8>"$ports/lock"
  if command -v flock >/dev/null; then flock 8; fi
  for _ in $(seq 200); do
    base=$((10000 + PORT_BLOCK * (RANDOM % 140)))
    if [ -L "$ports/$base" ] && [ ! -e "$ports/$base" ]; then rm -f "$ports/$base"; fi # its cluster is gone
    ln -sT "$dir" "$ports/$base" 2>/dev/null || continue
    for i in $(seq "$base" $((base + 4 * nodes - 1))); do
      if answers "$i"; then rm -f "$ports/$base"; continue 2; fi
    done
    echo "$base"; return
  done
  die "no free ports"
}

configure() { # first start: write cluster.conf and one directory per node, format the storage
  nodes=${KAFKA_NODES:-1} base_port=${KAFKA_PORT:-19092}
  [ $((4 * nodes)) -le $PORT_BLOCK ] || die "at most $((PORT_BLOCK / 4)) brokers"
  case ${KAFKA_SASL:-} in *[\"\\]*) die "KAFKA_SASL: no quotes or backslashes";; esac
  [ "$base_port" != 0 ] || base_port=$(reserve_ports)
  local tmp="$dir/.new" cluster_id voters="" controllers="" i rf maps names scram=() mechanism
  cluster_id=$(uuid) rf=$((nodes < 3 ? nodes : 3))
  for i in $(each); do check_free "$i"; done
  rm -rf "$tmp" "$dir"/node-*; mkdir -p "$tmp"
  for i in $(each); do
    voters+=",$i@127.0.0.1:$(port "$i" 1):$(uuid)"
    controllers+=",127.0.0.1:$(port "$i" 1)"
  done
  if [ "${KAFKA_SSL:-0}" = 1 ]; then
    # one self-signed certificate for all nodes, valid for 127.0.0.1 and localhost
    rm -f "$dir/ssl.p12"
    "${java}keytool" -genkeypair -alias broker -keyalg RSA -validity 3650 -dname CN=localhost \
      -ext san=ip:127.0.0.1,dns:localhost -storetype PKCS12 -keystore "$dir/ssl.p12" -storepass changeit
    "${java}keytool" -exportcert -rfc -alias broker -keystore "$dir/ssl.p12" -storepass changeit \
      >"$dir/ssl-ca.pem" 2>/dev/null
  fi
  for mechanism in ${KAFKA_SASL:+SCRAM-SHA-256 SCRAM-SHA-512}; do
    scram+=(--add-scram "$mechanism=[name=\"${KAFKA_SASL%%:*}\",password=\"${KAFKA_SASL#*:}\"]")
  done
  for i in $(each); do
    mkdir -p "$dir/node-$i"
    names="PLAINTEXT://127.0.0.1:$(port "$i")"
    maps="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    [ -n "${KAFKA_SASL:-}" ] && names+=",SASL://127.0.0.1:$(port "$i" 2)" maps+=",SASL:SASL_PLAINTEXT"
    [ "${KAFKA_SSL:-0}" = 1 ] && names+=",SSL://127.0.0.1:$(port "$i" 3)" maps+=",SSL:SSL"
    cat >"$dir/node-$i/server.properties" <<EOF
process.roles=broker,controller
node.id=$i
controller.quorum.bootstrap.servers=${controllers#,}
listeners=$names,CONTROLLER://127.0.0.1:$(port "$i" 1)
advertised.listeners=$names,CONTROLLER://127.0.0.1:$(port "$i" 1)
listener.security.protocol.map=$maps
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/node-$i/data
num.partitions=8
default.replication.factor=$rf
min.insync.replicas=$((rf > 1 ? 2 : 1))
# the internal topics: few partitions, as many replicas as there are brokers
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$rf
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$rf
transaction.state.log.min.isr=$((rf > 1 ? 2 : 1))
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=$rf
share.coordinator.state.topic.min.isr=$((rf > 1 ? 2 : 1))
# tests should not wait: join groups at once, notice a dead broker soon
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
auto.create.topics.enable=false
# messages may say that they are of any time: nothing goes by its age
log.retention.ms=-1
num.network.threads=2
num.io.threads=4
# no 128 MiB buffer for the log cleaner
log.cleaner.dedupe.buffer.size=16777216
EOF
    [ -z "${KAFKA_SASL:-}" ] || cat >>"$dir/node-$i/server.properties" <<EOF
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_${KAFKA_SASL%%:*}="${KAFKA_SASL#*:}";
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
EOF
    [ "${KAFKA_SSL:-0}" != 1 ] || cat >>"$dir/node-$i/server.properties" <<EOF
ssl.keystore.type=PKCS12
ssl.keystore.location=$dir/ssl.p12
ssl.keystore.password=changeit
EOF
    printf '%s\n' "${KAFKA_CONFIG:-}" >>"$dir/node-$i/server.properties"
    run_java kafka.tools.StorageTool format -t "$cluster_id" -c "$dir/node-$i/server.properties" \
      --initial-controllers "${voters#,}" ${scram[@]+"${scram[@]}"} >"$dir/node-$i/format.log" 2>&1 ||
      { cat "$dir/node-$i/format.log" >&2; die "cannot format node $i"; }
  done
  printf 'nodes=%s base_port=%s\n' "$nodes" "$base_port" >"$tmp/cluster.conf"
  mv "$tmp/cluster.conf" "$dir/cluster.conf" && rmdir "$tmp" # last: a half-made cluster is made again
}

start() {
  install
  mkdir -p "$dir"
  [ -f "$dir/cluster.conf" ] || configure
  load
  local i
  for i in $(each); do
    pid_of "$i" >/dev/null && continue
    check_free "$i"
    nohup "${java}java" -Xms128m -Xmx"${KAFKA_HEAP:-512m}" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError \
      -Dorg.slf4j.simpleLogger.defaultLogLevel="${KAFKA_LOG:-warn}" -Dorg.slf4j.simpleLogger.showDateTime=true \
      -Dorg.slf4j.simpleLogger.dateTimeFormat="yyyy-MM-dd'T'HH:mm:ss.SSS" \
      -cp "$KAFKA_HOME/lib/*" kafka.Kafka "$dir/node-$i/server.properties" \
      >>"$dir/node-$i/log" 2>&1 </dev/null 9>&- &
    echo $! >"$dir/node-$i/pid"
  done
  local deadline=$((SECONDS + ${KAFKA_START_TIMEOUT:-60}))
  for i in $(each); do # ready: every node answers and knows all the others
    until [ "$(brokers_seen "$i")" = "$nodes" ]; do
      pid_of "$i" >/dev/null || { tail -n 20 "$dir/node-$i/log" >&2; die "node $i died, see $dir/node-$i/log"; }
      [ $SECONDS -lt $deadline ] || die "node $i is not ready, see $dir/node-$i/log"
      sleep 0.1
    done
  done
  bootstrap
}

end() { # end TERM|KILL [NODE]
  load
  local sig=$1 i pid pids="" which; which=${2:-$(each)}
  for i in $which; do pid=$(pid_of "$i") && kill "-$sig" "$pid" && pids+=" $pid"; done
  # the last controllers of a stopping cluster have no quorum to take leave from: after 30 s they are killed
  local deadline=$((SECONDS + 30))
  for pid in $pids; do
    while kill -0 "$pid" 2>/dev/null; do
      [ $SECONDS -lt $deadline ] || { say "pid $pid does not stop, kill -9"; kill -9 "$pid" 2>/dev/null || true; deadline=$((SECONDS + 30)); }
      sleep 0.1
    done
  done
  for i in $which; do rm -f "$dir/node-$i/pid"; done
}

status() {
  load
  bootstrap
  local i pid bad=0
  for i in $(each); do
    if pid=$(pid_of "$i"); then
      set -- "$(brokers_seen "$i")"
      echo "node $i: pid $pid, port $(port "$i"), sees $1 of $nodes brokers, $(ps -o rss= -p "$pid" | awk '{print int($1 / 1024)}') MiB"
      [ "$1" = "$nodes" ] || bad=1
    else
      echo "node $i: stopped"; bad=1
    fi
  done
  return $bad
}

tool() {
  load; install
  local class=$1; shift
  run_java "org.apache.kafka.tools.$class" --bootstrap-server "$(bootstrap)" "$@"
}

topic() {
  load
  local name=$1 parts=${2:-8} rf=${3:-$((nodes < 3 ? nodes : 3))} args=() kv
  shift; shift $(($# < 2 ? $# : 2))
  for kv in "$@"; do args+=(--config "$kv"); done
  tool TopicCommand --create --if-not-exists --topic "$name" --partitions "$parts" --replication-factor "$rf" \
    ${args[@]+"${args[@]}"} >&2
}

usage() { sed -n '2,/^set -/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

cmd=${1:-}; [ -n "$cmd" ] || usage; shift
case $cmd in installable) installable; exit ;; install) install; exit ;; start | stop | kill | status | topic | tool) ;; *) usage ;; esac
[ -n "${1:-}" ] || usage
dir=$(mkdir -p "$(dirname "$1")" && cd "$(dirname "$1")" && pwd)/$(basename "$1"); shift
if [ "$cmd" = start ] || [ "$cmd" = stop ] || [ "$cmd" = kill ]; then # one at a time per cluster
  [ "$cmd" = start ] || [ -f "$dir/cluster.conf" ] || exit 0
  mkdir -p "$dir"; exec 9>"$dir/lock"
  if command -v flock >/dev/null; then flock 9; fi
fi
case $cmd in
  start) start ;;
  stop) end TERM "${1:-}" ;;
  kill) end KILL "${1:-}" ;;
  status) status ;;
  topic) [ $# -ge 1 ] || usage; topic "$@" ;;
  tool) [ $# -ge 1 ] || usage; tool "$@" ;;
esac
