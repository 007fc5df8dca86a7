#!/usr/bin/env bash
# versitygw (a second, independent S3 server) on loopback, posix backend with versions. usage: versitygw.sh DIR
. "$(dirname "$0")/lib.sh"
needs versitygw versitygw
read -r port < <(ports 1); mkdir -p "$dir/data" "$dir/versions"
export ROOT_ACCESS_KEY=svcadmin ROOT_SECRET_KEY=svc-secret-1
setsid "$bin/versitygw" --port "127.0.0.1:$port" --health /health --quiet posix --versioning-dir "$dir/versions" "$dir/data" >"$dir/server.log" 2>&1 </dev/null &
echo $! >"$dir/pid"
printf 'S3_ENDPOINT=http://127.0.0.1:%s\nS3_KEY=%s\nS3_SECRET=%s\n' "$port" "$ROOT_ACCESS_KEY" "$ROOT_SECRET_KEY" >"$dir/env"
wait_http "http://127.0.0.1:$port/health"; echo "$dir"
