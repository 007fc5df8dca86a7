#!/usr/bin/env bash
# Cilium's own Hubble server serving flows from a JSONL file, no agent. usage: hubbled.sh DIR FLOWS|- [hubbled flags]; writes DIR/{pid,port}
. "$(dirname "$0")/lib.sh"
needs hubble hubbled
flows=$2; shift 2; read -r port < <(ports 1)
setsid "$bin/hubbled" -listen "127.0.0.1:$port" -flows "$flows" -flush 50ms "$@" >"$dir/server.log" 2>&1 &
echo $! >"$dir/pid"; echo "$port" >"$dir/port"
for _ in $(seq 200); do "$bin/hubble" observe --server "127.0.0.1:$port" --last 1 -o json >/dev/null 2>&1 && { echo "$dir"; exit 0; }; sleep 0.05; done
tail -20 "$dir/server.log" >&2; exit 1
