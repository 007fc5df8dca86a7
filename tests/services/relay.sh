#!/usr/bin/env bash
# hubble-relay in front of a peer service, plaintext. usage: relay.sh DIR PEER_ADDRESS; writes DIR/{pid,port}. End it with SIGKILL: SIGTERM hangs.
. "$(dirname "$0")/lib.sh"
needs hubble hubble-relay
read -r port health < <(ports 2)
setsid "$bin/hubble-relay" serve --peer-service "$2" --disable-client-tls --disable-server-tls --listen-address "127.0.0.1:$port" \
  --health-listen-address "127.0.0.1:$health" --gops=false --retry-timeout 1s >"$dir/server.log" 2>&1 </dev/null &
echo $! >"$dir/pid"; echo "$port" >"$dir/port"
for _ in $(seq 200); do "$bin/hubble" observe --server "127.0.0.1:$port" --last 1 -o json 2>/dev/null | grep -q . && { echo "$dir"; exit 0; }; sleep 0.1; done
tail -20 "$dir/server.log" >&2; exit 1
