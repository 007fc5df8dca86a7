#!/usr/bin/env bash
# OpenSearch 2.19.1, one embedded node on loopback (Java 17). usage: opensearch.sh DIR; writes DIR/{pid,port,server.log}
. "$(dirname "$0")/lib.sh"
needs opensearch opensearch-libs
read -r http < <(ports 1)
setsid java -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$bin/opensearch-classes:$bin/opensearch-libs/*" Main "$dir" "$http" >"$dir/server.log" 2>&1 </dev/null &
echo $! >"$dir/pid"; echo "$http" >"$dir/port"; wait_http "http://127.0.0.1:$http/"; echo "$dir"
