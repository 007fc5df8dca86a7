#!/usr/bin/env bash
# Loki on loopback, monolithic. usage: loki.sh DIR [true|false (auth)] [loki flags]; writes DIR/{pid,port,loki.yaml,server.log}
. "$(dirname "$0")/lib.sh"
needs loki loki
auth=${2:-false}; shift; [ $# -eq 0 ] || shift
read -r http grpc < <(ports 2)
sed -e "s#@AUTH@#$auth#; s#@HTTP@#$http#; s#@GRPC@#$grpc#g; s#@DIR@#$dir#" "$here/loki/loki.yaml.tmpl" >"$dir/loki.yaml"
setsid "$bin/loki" -config.file="$dir/loki.yaml" "$@" >"$dir/server.log" 2>&1 </dev/null &
echo $! >"$dir/pid"; echo "$http" >"$dir/port"
wait_http "http://127.0.0.1:$http/ready"; echo "$dir"
