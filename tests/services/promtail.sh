#!/usr/bin/env bash
# Promtail tailing a glob into a Loki. usage: promtail.sh DIR LOKI_PORT 'GLOB' [tenant]
. "$(dirname "$0")/lib.sh"
needs promtail promtail
read -r http grpc < <(ports 2)
cat >"$dir/promtail.yaml" <<Y
server: {http_listen_address: 127.0.0.1, http_listen_port: $http, grpc_listen_address: 127.0.0.1, grpc_listen_port: $grpc}
positions: {filename: $dir/positions.yaml, sync_period: 1s}
target_config: {sync_period: 1s}
clients: [{url: "http://127.0.0.1:$2/loki/api/v1/push", batchwait: 200ms, tenant_id: "${4:-}"}]
scrape_configs:
  - job_name: flows
    static_configs: [{targets: [localhost], labels: {job: flows, __path__: "$3"}}]
Y
setsid "$bin/promtail" -config.file="$dir/promtail.yaml" >"$dir/server.log" 2>&1 </dev/null &
echo $! >"$dir/pid"; wait_http "http://127.0.0.1:$http/metrics"; echo "$dir"
