# For scripts/interop: SPIRE servers and agents of several trust domains, each in its own directory under $work.
#
# In: $work, $spire (where the binaries are). A domain is named by one word, NAME; its trust domain is NAME.interop.test.
# Its server has a bundle endpoint; its agent attests workloads by user id, and this user's is NAME.interop.test/workload.
# shellcheck shell=bash

# How soon the bundle endpoints ask to be read again; the broker takes no less than a minute.
refresh_hint=1m

# start_domain NAME PROFILE: PROFILE is https_web or https_spiffe.
start_domain() {
    local name=$1 profile=$2 directory=$work/$1 token
    mkdir -p "$directory"
    free_port >"$directory/port"
    free_port >"$directory/bundle-port"
    write_server_configuration "$name" "$profile"
    start_server "$name"
    spire_server "$name" bundle show -format pem >"$directory/bootstrap.pem"
    token=$(spire_server "$name" token generate -spiffeID "spiffe://$name.interop.test/node" -output json | jq -r .value)
    # Before the agent starts, so that its first synchronization has it.
    spire_server "$name" entry create -parentID "spiffe://$name.interop.test/node" -selector "unix:uid:$(id -u)" \
        -spiffeID "spiffe://$name.interop.test/workload" >/dev/null
    write_agent_configuration "$name"
    start_agent "$name" -joinToken "$token"
    until_true "first SVID of $name" fetch_svid "$name"
}

start_server() {
    start_process "spire-server-$1" "$spire/spire-server" run -config "$work/$1/server.conf"
    until_true "SPIRE server of $1" spire_server "$1" healthcheck
}

# start_agent NAME OPTION…: a join token counts once; later the agent comes with what it got then.
start_agent() {
    start_process "spire-agent-$1" "$spire/spire-agent" run -config "$work/$1/agent.conf" "${@:2}"
    until_true "SPIRE agent of $1" "$spire/spire-agent" healthcheck -socketPath "$work/$1/agent.sock"
}

write_server_configuration() {
    local name=$1 profile=$2 directory=$work/$1 endpoint='profile "https_spiffe" {}'
    # The other domain has SPIRE's own defaults, P-256 for everything.
    local more=$'ca_key_type = "rsa-2048"\n    jwt_key_type = "ec-p384"'
    if [[ $profile == https_web ]]; then
        # Its JWT-SVIDs have an `iss` too, for the OIDC discovery provider; those of the other domain have none.
        more="jwt_issuer = \"https://localhost:$oidc_port\""
        endpoint="profile \"https_web\" {
                serving_cert_file {
                    cert_file_path = \"$work/tls.crt\"
                    key_file_path = \"$work/tls.key\"
                    file_sync_interval = \"1h\"
                }
            }"
    fi
    cat >"$directory/server.conf" <<CONFIGURATION
server {
    bind_address = "127.0.0.1"
    bind_port = "$(<"$directory/port")"
    socket_path = "$directory/server.sock"
    trust_domain = "$name.interop.test"
    data_dir = "$directory/server"
    $more
    federation {
        bundle_endpoint {
            address = "127.0.0.1"
            port = $(<"$directory/bundle-port")
            refresh_hint = "$refresh_hint"
            $endpoint
        }
    }
}
plugins {
    DataStore "sql" {
        plugin_data {
            database_type = "sqlite3"
            connection_string = "$directory/datastore.sqlite3"
        }
    }
    NodeAttestor "join_token" { plugin_data {} }
    KeyManager "disk" { plugin_data { keys_path = "$directory/keys.json" } }
}
CONFIGURATION
}

write_agent_configuration() {
    local name=$1 directory=$work/$1 key_type=ec-p256
    mkdir -p "$directory/agent"
    [[ $name == web ]] || key_type=rsa-2048
    cat >"$directory/agent.conf" <<CONFIGURATION
agent {
    data_dir = "$directory/agent"
    server_address = "127.0.0.1"
    server_port = "$(<"$directory/port")"
    socket_path = "$directory/agent.sock"
    workload_x509_svid_key_type = "$key_type"
    trust_bundle_path = "$directory/bootstrap.pem"
    trust_domain = "$name.interop.test"
}
plugins {
    NodeAttestor "join_token" { plugin_data {} }
    KeyManager "disk" { plugin_data { directory = "$directory/agent" } }
    WorkloadAttestor "unix" { plugin_data {} }
}
CONFIGURATION
}

# spire_server NAME COMMAND…: `spire-server COMMAND…` on that domain's server. Options come after the words.
spire_server() {
    local name=$1
    shift
    local words=()
    while (($# > 0)) && [[ $1 != -* ]]; do
        words+=("$1")
        shift
    done
    "$spire/spire-server" "${words[@]}" -socketPath "$work/$name/server.sock" "$@"
}

# The workload's JWT-SVID from the Workload API. The agent gives the same one again for half its life.
fetch_svid() {
    "$spire/spire-agent" api fetch jwt -socketPath "$work/$1/agent.sock" -audience "${2:-$issuer}" -output json |
        jq -r '.[0].svids[0].svid'
}

# The workload's X.509-SVID: svid.0.pem, svid.0.key and bundle.0.pem in DIRECTORY.
fetch_x509() {
    mkdir -p "$2"
    "$spire/spire-agent" api fetch x509 -socketPath "$work/$1/agent.sock" -write "$2" >/dev/null
}

write_bundle_file() {
    spire_server "$1" bundle show -format spiffe >"$work/bundles/$1.json.new"
    mv "$work/bundles/$1.json.new" "$work/bundles/$1.json"
}

# authority NAME KIND STATE: the id of the jwt or x509 authority that is active, prepared or old.
authority() {
    spire_server "$1" localauthority "$2" show -output json | jq -r ".$3.authority_id"
}
