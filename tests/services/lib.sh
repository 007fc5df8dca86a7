# Sourced by the start scripts. $1 of each is the state folder (made when missing); a second start of the same folder keeps its ports and data.
# With SERVICE_OWNER=PID a watcher ends the servers of the folder when that process is gone, however it ended.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
bin=${SERVICES_BIN:-$HOME/.cache/flowlog-services}
dir=${1:?usage: $(basename "$0") DIR}; mkdir -p "$dir"; dir=$(cd "$dir" && pwd)

# needs NAME PATH: says how to build what is missing
needs() {
  [ -e "$bin/$2" ] && return 0
  echo "$bin/$2 is missing; run: tests/services/build $1" >&2
  exit 1
}

# ports N: prints N free loopback ports, the same ones at every start of this folder
ports() {
  [ -s "$dir/ports" ] || python3 - "$1" >"$dir/ports" <<'PY'
import socket, sys
ss = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in ss: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in ss])
PY
  cat "$dir/ports"
}

# wait_http URL [curl options]: until it answers 200, or the server ends
wait_http() {
  for _ in $(seq 1200); do
    [ "$(curl -s -m 1 -o /dev/null -w '%{http_code}' "$@")" = 200 ] && return 0
    kill -0 "$(cat "$dir/pid")" 2>/dev/null || { tail -20 "$dir/server.log" >&2; return 1; }
    sleep 0.05
  done
  return 1
}

# One watcher a folder, whatever is started again in it.
if [ -n "${SERVICE_OWNER:-}" ] && [ ! -e "$dir/watched" ]; then
  touch "$dir/watched"
  setsid bash -c 'tail --pid="$1" -f /dev/null; cat "$2"/pid "$2"/*.pid 2>/dev/null | xargs -r kill -9 2>/dev/null; rm -rf "$2"' \
    watcher "$SERVICE_OWNER" "$dir" >/dev/null 2>&1 </dev/null &
fi
