# For scripts/interop: processes, brokers, exchanges and what is expected of them.
#
# In: $work, $issuer, $countersign. A broker is named by one word, NAME; its files are in $work/broker-NAME.
# shellcheck shell=bash

pids=()
passed=

# start_process NAME COMMAND…: in the background until the end, its output in a log.
start_process() {
    local name=$1
    shift
    mkdir -p "$work/log"
    "$@" >>"$work/log/$name" 2>&1 &
    pids+=($!)
    printf '%s' $! >"$work/$name.pid"
}

# stop_process NAME: ends it and waits for its end.
stop_process() {
    local pid
    pid=$(<"$work/$1.pid")
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

clean_up() {
    local status=$? pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    if [[ -n $passed && -z ${INTEROP_KEEP:-} ]]; then
        rm -rf "$work"
    elif [[ -n ${work:-} ]]; then
        echo "files and logs: $work"
    fi
    exit "$status"
}

give_up() {
    echo "$*" >&2
    exit 1
}

fail() {
    echo "  ✗ $*"
    exit 1
}

shown() {
    echo "  ✓ $*"
}

# until_true WHAT COMMAND…: tries it for a minute.
until_true() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 300; tries++)); do
        if "$@" >/dev/null 2>&1; then
            return
        fi
        sleep 0.2
    done
    fail "$what: not there after a minute; see $work/log"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A private CA and a Web PKI style certificate for localhost, which the bundle endpoint and the OpenID providers serve.
make_certificates() {
    mkdir -p "$work/bundles" "$work/policies" "$work/services"
    local curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    openssl req -x509 "${curve[@]}" -keyout "$work/ca.key" -out "$work/bundles/ca.pem" -days 2 \
        -subj "/CN=interop CA" -addext "keyUsage=critical,keyCertSign" 2>/dev/null
    openssl req -new "${curve[@]}" -keyout "$work/tls.key" -out "$work/tls.csr" -subj "/CN=localhost" 2>/dev/null
    openssl x509 -req -in "$work/tls.csr" -CA "$work/bundles/ca.pem" -CAkey "$work/ca.key" -days 1 -out "$work/tls.crt" \
        -extfile <(echo "subjectAltName=DNS:localhost") 2>/dev/null
}

build_countersign() {
    cargo build --locked
    countersign=${CARGO_TARGET_DIR:-target}/debug/countersign
}

# start_broker NAME ISSUERS: with these entries of `issuers`, and one policy for each.
start_broker() {
    local name=$1 directory=$work/broker-$1 entry
    mkdir -p "$directory/policies"
    free_port >"$directory/port"
    cat >"$directory/countersign.yaml" <<CONFIGURATION
issuer: $issuer
listen: 127.0.0.1:$(<"$directory/port")
tls: { cert: $work/tls.crt, key: $work/tls.key, client_certificates: request }
data: ./data
trust_bundles: $work/bundles
services: $work/services
issuers:
$2
CONFIGURATION
    while read -r entry; do
        write_policy "$entry" >"$directory/policies/$entry.yaml"
    done < <(sed -n 's/^  \([a-z]*\):.*/\1/p' <<<"$2")
    "$countersign" --config "$directory/countersign.yaml" check --online >"$directory/check" 2>&1 ||
        { cat "$directory/check"; fail "broker $name: its configuration"; }
    serve "$name"
}

serve() {
    start_process "broker-$1" "$countersign" --config "$work/broker-$1/countersign.yaml" serve
    until_true "broker $1" ask_broker "$1" /readyz --fail
}

# Every issuer's workload becomes a user of the issuer's name.
write_policy() {
    local subject="spiffe://$1.interop.test/workload"
    case $1 in
    spire) subject=spiffe://web.interop.test/workload ;;
    partner) subject=workload ;;
    esac
    printf 'policy: %s\nissuer: %s\nmatch: { sub: "%s" }\nuser: %s-workload\nscopes: ["service:my-api"]\n' "$1" "$1" "$subject" "$1"
}

url_of() {
    echo "https://localhost:$(<"$work/broker-$1/port")$2"
}

# ask_broker NAME PATH OPTION…: curl.
ask_broker() {
    curl --silent --max-time 20 --cacert "$work/bundles/ca.pem" "$(url_of "$1" "$2")" "${@:3}"
}

# One broker for each way to the keys of both trust domains; they all call themselves $issuer.
start_bundle_brokers() {
    [[ ! -d $work/broker-agent ]] || return 0
    local private="allow_private_network: true" name
    for name in web mesh; do
        write_bundle_file "$name"
    done
    start_broker file "\
  web: { kind: spiffe, trust_domain: web.interop.test, bundle: { file: web.json } }
  mesh: { kind: spiffe, trust_domain: mesh.interop.test, bundle: { file: mesh.json } }"
    start_broker endpoint "\
  web: { kind: spiffe, trust_domain: web.interop.test, ca_file: ca.pem, $private, bundle: { url: \"https://localhost:$(<"$work/web/bundle-port")/\", profile: https_web } }
  mesh: { kind: spiffe, trust_domain: mesh.interop.test, $private, bundle: { url: \"https://localhost:$(<"$work/mesh/bundle-port")/\", profile: https_spiffe, endpoint_spiffe_id: \"spiffe://mesh.interop.test/spire/server\", bootstrap_file: mesh.json } }"
    start_broker agent "\
  web: { kind: spiffe, trust_domain: web.interop.test, bundle: { workload_api: \"unix://$work/web/agent.sock\" } }
  mesh: { kind: spiffe, trust_domain: mesh.interop.test, bundle: { workload_api: \"unix://$work/mesh/agent.sock\" } }"
}

# source_of BROKER DOMAIN: where that broker has that domain's keys from, for people.
source_of() {
    case $1-$2 in
    file-*) echo "bundle file" ;;
    endpoint-web) echo "bundle endpoint, https_web" ;;
    endpoint-mesh) echo "bundle endpoint, https_spiffe" ;;
    agent-*) echo "Workload API" ;;
    esac
}

# quiet_exchange BROKER TYPE ASSERTION: its answer is in $answer; false unless it is a token.
quiet_exchange() {
    [[ $3 == *.*.* ]] || fail "the peer gave no token for broker $1"
    answer=$(ask_broker "$1" /oauth2/token -d grant_type=client_credentials \
        -d "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:$2" --data-urlencode "client_assertion=$3") || true
    is_token
}

# quiet_x509_exchange BROKER DOMAIN DIRECTORY: the same with the X.509-SVID in there, no assertion.
quiet_x509_exchange() {
    answer=$(ask_broker "$1" /oauth2/token --cert "$3/svid.0.pem" --key "$3/svid.0.key" -d grant_type=client_credentials \
        --data-urlencode "client_id=spiffe://$2.interop.test/workload") || true
    is_token
}

is_token() {
    [[ $(jq -r '.access_token // ""' <<<"$answer" 2>/dev/null) == *.*.* ]]
}

granted() {
    claims_of "$(jq -r .access_token <<<"$answer")" | jq -r '"\(.sub), from \(.workload.issuer)"'
}

# cause_of BROKER: the audit record's cause and detail for the refusal in $answer.
cause_of() {
    local trace
    trace=$(jq -r '.trace_id // ""' <<<"$answer")
    curl --silent --unix-socket "$work/broker-$1/data/admin.sock" "http://localhost/admin/v1/audit?trace_id=$trace" |
        jq -r '.records[0].record | "\(.cause): \(.detail)"'
}

# expect_exchange BROKER TYPE ASSERTION WHAT
expect_exchange() {
    quiet_exchange "$1" "$2" "$3" || fail "$4: $answer: $(cause_of "$1")"
    shown "$4 → $(granted)"
}

# expect_x509_exchange BROKER DOMAIN WHAT
expect_x509_exchange() {
    quiet_x509_exchange "$1" "$2" "$work/$2/x509" || fail "$3: $answer: $(cause_of "$1")"
    shown "$3 → $(granted)"
}

# expect_refusal BROKER TYPE ASSERTION WHAT CAUSE
expect_refusal() {
    ! quiet_exchange "$1" "$2" "$3" || fail "$4: was exchanged"
    local cause
    cause=$(cause_of "$1")
    [[ $cause == "$5:"* ]] || fail "$4: refused for $cause, not for $5"
    shown "$4 → refused, $cause"
}

# claims_of JWT: not verified, for showing.
claims_of() {
    python3 -c 'import base64, sys; part = sys.argv[1].split(".")[1]; print(base64.urlsafe_b64decode(part + "==").decode())' "$1"
}
