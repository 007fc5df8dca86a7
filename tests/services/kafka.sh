#!/usr/bin/env bash
# Apache Kafka, one KRaft broker on loopback: PLAINTEXT, SASL_SSL/SCRAM-SHA-512, and SSL for clients with a certificate of ca.pem.
# usage: kafka.sh DIR; writes DIR/{env,pid,ca.pem,ca.key,server.log}
. "$(dirname "$0")/lib.sh"
needs kafka kafka-libs
LIBS=$bin/kafka-libs
D=$dir
read -r P_PLAIN P_SASL P_CTRL P_MUTUAL < <(ports 4)   # the controller port is part of the quorum, so it must not change over restarts
USER_=svcuser; PASS_=svc-secret-1

# --- CA + server certificate (PEM, PKCS#8, SAN localhost + 127.0.0.1)
if [ ! -f "$D/ca.pem" ]; then
  openssl req -x509 -newkey rsa:2048 -sha256 -nodes -days 30 -subj "/CN=svc test CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
    -keyout "$D/ca.key" -out "$D/ca.pem" 2>/dev/null
  openssl req -newkey rsa:2048 -sha256 -nodes -subj "/CN=localhost" -keyout "$D/srv.key" -out "$D/srv.csr" 2>/dev/null
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' >"$D/srv.ext"
  openssl x509 -req -sha256 -days 30 -in "$D/srv.csr" -CA "$D/ca.pem" -CAkey "$D/ca.key" -CAcreateserial \
    -extfile "$D/srv.ext" -out "$D/srv.pem" 2>/dev/null
  cat "$D/srv.key" "$D/srv.pem" "$D/ca.pem" >"$D/srv-keystore.pem"; chmod 600 "$D"/*.key "$D/srv-keystore.pem"
fi

cat >"$D/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$P_CTRL
listeners=PLAINTEXT://127.0.0.1:$P_PLAIN,SASL_SSL://127.0.0.1:$P_SASL,SSL://127.0.0.1:$P_MUTUAL,CONTROLLER://127.0.0.1:$P_CTRL
advertised.listeners=PLAINTEXT://127.0.0.1:$P_PLAIN,SASL_SSL://127.0.0.1:$P_SASL,SSL://127.0.0.1:$P_MUTUAL,CONTROLLER://127.0.0.1:$P_CTRL
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.ssl.keystore.type=PEM
listener.name.sasl_ssl.ssl.keystore.location=$D/srv-keystore.pem
listener.name.sasl_ssl.ssl.truststore.type=PEM
listener.name.sasl_ssl.ssl.truststore.location=$D/ca.pem
listener.name.sasl_ssl.ssl.client.auth=none
listener.name.ssl.ssl.keystore.type=PEM
listener.name.ssl.ssl.keystore.location=$D/srv-keystore.pem
listener.name.ssl.ssl.truststore.type=PEM
listener.name.ssl.ssl.truststore.location=$D/ca.pem
listener.name.ssl.ssl.client.auth=required
log.dirs=$D/data
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
P
cat >"$D/log4j2.properties" <<P
status=warn
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=info
rootLogger.appenderRef.out.ref=OUT
P
JOPT=(-Dlog4j2.configurationFile="$D/log4j2.properties" -Djava.awt.headless=true)
if [ ! -f "$D/data/meta.properties" ]; then
  CID=${KAFKA_CLUSTER_ID:-$(python3 -c 'import base64,os;print(base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=").replace("-","A"))')}
  java -Xmx128m -XX:TieredStopAtLevel=1 "${JOPT[@]}" -cp "$LIBS/*" kafka.tools.StorageTool format \
    -t "$CID" -c "$D/server.properties" --standalone \
    --add-scram "SCRAM-SHA-512=[name=$USER_,password=$PASS_]" >"$D/format.log" 2>&1
fi
setsid java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${JOPT[@]}" -cp "$LIBS/*" \
  kafka.Kafka "$D/server.properties" >"$D/server.log" 2>&1 </dev/null &
echo $! >"$D/pid"
cat >"$D/env" <<P
KAFKA_PID=$(cat "$D/pid")
KAFKA_PLAIN=127.0.0.1:$P_PLAIN
KAFKA_SASL=127.0.0.1:$P_SASL
KAFKA_MUTUAL=127.0.0.1:$P_MUTUAL
KAFKA_USER=$USER_
KAFKA_PASS=$PASS_
KAFKA_CA=$D/ca.pem
P
for _ in $(seq 600); do
  grep -q 'Kafka Server started' "$D/server.log" && { echo "$D"; exit 0; }
  kill -0 "$(cat "$D/pid")" 2>/dev/null || { echo "broker died:" >&2; tail -20 "$D/server.log" >&2; exit 1; }
  sleep 0.1
done
echo "broker not up in 60 s" >&2; exit 1
