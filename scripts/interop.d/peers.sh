# For scripts/interop: starts the peers that a section needs, each once.
#
# In: $work. The keys and certificates are those of make_certificates.
# shellcheck shell=bash

# The port of the OIDC discovery provider is in the SVIDs of domain `web`, so it is chosen first.
oidc_port=

need_spire() {
    [[ -z $oidc_port ]] || return 0
    oidc_port=$(free_port)
    section "SPIRE: build" build_spire
    section "SPIRE: two trust domains" start_spire
}

build_spire() {
    spire=$(scripts/interop.d/build-spire)
    shown "$("$spire/spire-server" --version 2>&1 | head -1) in $spire"
}

start_spire() {
    start_domain web https_web
    start_domain mesh https_spiffe
    shown "servers, agents and bundle endpoints of web.interop.test (https_web) and mesh.interop.test (https_spiffe)"
}

start_discovery_provider() {
    cat >"$work/oidc-discovery-provider.conf" <<CONFIGURATION
log_level = "debug"
log_requests = true
domains = ["localhost"]
jwt_issuer = "https://localhost:$oidc_port"
serving_cert_file {
    cert_file_path = "$work/tls.crt"
    key_file_path = "$work/tls.key"
    addr = "127.0.0.1:$oidc_port"
}
server_api { address = "unix://$work/web/server.sock" }
CONFIGURATION
    start_process oidc-discovery-provider "$spire/oidc-discovery-provider" -config "$work/oidc-discovery-provider.conf"
    until_true "OIDC discovery provider" curl --silent --fail --cacert "$work/bundles/ca.pem" \
        "https://localhost:$oidc_port/.well-known/openid-configuration"
    curl --silent --head --request GET --cacert "$work/bundles/ca.pem" "https://localhost:$oidc_port/keys" |
        grep -i '^cache-control' | sed 's/^/    its keys say /'
}

# start_openid_provider KEY: (again,) with a fresh signing key of that name.
start_openid_provider() {
    local peer=scripts/interop.d/oidc-provider directory=$work/openid-$1
    mkdir -p "$directory"
    (cd "$peer" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null)
    node -e 'const { privateKey } = require("crypto").generateKeyPairSync("ec", { namedCurve: "P-256" });
        const key = { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "ES256", kid: process.argv[1] };
        console.log(JSON.stringify({ keys: [key] }));' "$1" >"$directory/jwks.json"
    cp "$work"/tls.{crt,key} "$directory"
    openid_port=${openid_port:-$(free_port)}
    [[ ! -f $work/openid-provider.pid ]] || stop_process openid-provider
    start_process openid-provider node "$peer/server.mjs" "$openid_port" "$directory" "$issuer"
    until_true "OpenID provider" curl --silent --fail --cacert "$work/bundles/ca.pem" \
        "https://localhost:$openid_port/.well-known/openid-configuration"
}

# An ID token by the authorization code flow, without a browser: the provider signs everybody in.
id_token() {
    local jar=$work/cookies code callback=https://localhost:$openid_port/callback
    rm -f "$jar"
    code=$(openid_curl "auth?client_id=countersign&response_type=code&scope=openid&redirect_uri=$callback" \
        --location --cookie "$jar" --cookie-jar "$jar")
    openid_curl token --user "$openid_client" -d grant_type=authorization_code -d "code=$code" -d "redirect_uri=$callback" |
        jq -er '.id_token // error(tostring)'
}

access_token() {
    openid_curl token --user "$openid_client" -d grant_type=client_credentials -d scope=use |
        jq -er '.access_token // error(tostring)'
}

openid_client=countersign:a-secret-between-two-processes-of-one-test

openid_curl() {
    curl --silent --cacert "$work/bundles/ca.pem" "https://localhost:$openid_port/$1" "${@:2}"
}
