#!/usr/bin/env bash
# etcd and a real kube-apiserver on loopback; no scheduler, controllers or kubelet. usage: kube.sh DIR [start|stop|wipe]; writes DIR/{kubeconfig,*.pid,*.log}
# Environment: AUTHZ (RBAC|AlwaysAllow), KUBE_EXTRA (more apiserver flags)
. "$(dirname "$0")/lib.sh"
needs kube kube-apiserver
BIN=$bin D=$dir AUTHZ=${AUTHZ:-RBAC}
read -r P E E2 < <(ports 3)
certs() {
  mkdir -p "$D/pki"; cd "$D/pki"; [ -f admin.crt ] && return
  local q="openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
  $q -x509 -days 3650 -subj /CN=test-ca -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt
  sign() { # name subject ext
    $q -subj "$2" -keyout $1.key -out $1.csr
    openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile <(printf "%s" "$3") -out $1.crt; }
  sign server /CN=kube-apiserver $'basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:::1,IP:10.96.0.1\n'
  sign admin /O=system:masters/CN=admin $'basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n'
  openssl genrsa -out sa.key 2048; openssl rsa -in sa.key -pubout -out sa.pub
  printf 'admin-token,admin,1,"system:masters"\nreader-token,reader,2,"readers"\n' > tokens.csv
}
ready() { for _ in $(seq 600); do curl -sf --cacert "$D/pki/ca.crt" -H "Authorization: Bearer admin-token" https://127.0.0.1:$P/readyz >/dev/null && return 0
  kill -0 "$(cat $D/apiserver.pid)" 2>/dev/null || { tail -5 "$D/apiserver.log" >&2; return 1; }; sleep 0.05; done; return 1; }
case ${2:-start} in
start)
  mkdir -p "$D"; (certs) 2>/dev/null
  setsid "$BIN/etcd" --name t --data-dir "$D/etcd" --unsafe-no-fsync --log-level error --listen-client-urls http://127.0.0.1:$E --advertise-client-urls http://127.0.0.1:$E \
    --listen-peer-urls http://127.0.0.1:$E2 --initial-advertise-peer-urls http://127.0.0.1:$E2 --initial-cluster t=http://127.0.0.1:$E2 >"$D/etcd.log" 2>&1 </dev/null & echo $! >"$D/etcd.pid"
  setsid "$BIN/kube-apiserver" --etcd-servers http://127.0.0.1:$E --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port $P \
    --tls-cert-file "$D/pki/server.crt" --tls-private-key-file "$D/pki/server.key" --client-ca-file "$D/pki/ca.crt" --token-auth-file "$D/pki/tokens.csv" \
    --authorization-mode "$AUTHZ" --disable-admission-plugins ServiceAccount --service-cluster-ip-range 10.96.0.0/16 --endpoint-reconciler-type none \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$D/pki/sa.pub" --service-account-signing-key-file "$D/pki/sa.key" \
    --allow-privileged=true --profiling=false ${KUBE_EXTRA:-} >"$D/apiserver.log" 2>&1 </dev/null & echo $! >"$D/apiserver.pid"
  ready
  KC="$D/kubeconfig"; cat >"$KC" <<Y
apiVersion: v1
kind: Config
current-context: t
clusters: [{name: t, cluster: {server: "https://127.0.0.1:$P", certificate-authority: $D/pki/ca.crt}}]
users: [{name: admin, user: {token: admin-token}}]
contexts: [{name: t, context: {cluster: t, user: admin}}]
Y
  echo "ready https://127.0.0.1:$P KUBECONFIG=$KC" ;;
stop) for p in apiserver etcd; do kill "$(cat $D/$p.pid)" 2>/dev/null || true; done
  for p in apiserver etcd; do while kill -0 "$(cat $D/$p.pid)" 2>/dev/null; do sleep .1; done; done ;;
wipe) "$0" "$D" stop; rm -rf "$D/etcd" ;;
esac
