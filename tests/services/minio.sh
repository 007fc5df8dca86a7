#!/usr/bin/env bash
# MinIO on loopback, one drive. usage: minio.sh DIR; writes DIR/{env,pid,server.log}; prints DIR once ready
. "$(dirname "$0")/lib.sh"
needs minio minio
read -r port console < <(ports 2); mkdir -p "$dir/data"
export MINIO_ROOT_USER=svcadmin MINIO_ROOT_PASSWORD=svc-secret-1 MINIO_BROWSER=off MINIO_UPDATE=off HOME=$dir
setsid "$bin/minio" server --quiet --json --address "127.0.0.1:$port" --console-address "127.0.0.1:$console" ${MINIO_CERTS:+--certs-dir "$MINIO_CERTS"} "$dir/data" >"$dir/server.log" 2>&1 </dev/null &
echo $! >"$dir/pid"
printf 'S3_ENDPOINT=http%s://127.0.0.1:%s\nS3_KEY=%s\nS3_SECRET=%s\n' "${MINIO_CERTS:+s}" "$port" "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD" >"$dir/env"
wait_http -k "http${MINIO_CERTS:+s}://127.0.0.1:$port/minio/health/ready"; echo "$dir"
