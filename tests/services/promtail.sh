#!/usr/bin/env bash
# Promtail with our configs/tailers/promtail.yaml, its path and addresses replaced. usage: promtail.sh DIR LOKI_PORT FILE [tenant]
. "$(dirname "$0")/lib.sh"
needs promtail promtail
read -r http < <(ports 1)
sed -e "s#http_listen_port: 9080#http_listen_port: $http#" \
  -e "s#/var/lib/promtail/positions.yaml#$dir/positions.yaml#" \
  -e "s#http://127.0.0.1:3100/loki/api/v1/push#http://127.0.0.1:$2/loki/api/v1/push${4:+\n    tenant_id: $4}#" \
  -e "s#/var/log/flowlog/events.log#$3#" "$here/../../configs/tailers/promtail.yaml" >"$dir/promtail.yaml"
setsid "$bin/promtail" -config.file="$dir/promtail.yaml" >"$dir/server.log" 2>&1 </dev/null &
echo $! >"$dir/pid"; wait_http "http://127.0.0.1:$http/metrics"; echo "$dir"
