# For scripts/interop: rotates SPIRE's authorities as an operator does, while load.py exchanges.
#
# In: two running domains, the brokers of start_bundle_brokers.
# shellcheck shell=bash

# Between prepare and activate an operator waits until everybody has read the bundle again: its refresh hint, and a little.
overlap_seconds=65
# How soon agents of SPIRE hear of it and throw away what a tainted authority signed (sync_interval is 5 s).
sync_seconds=12
# What the broker promises of a key that its issuer removed (docs/key-cache.md).
longest_after_revocation=300

start_load() {
    local directory=$work/load name
    mkdir -p "$directory"/{web,mesh}-x509
    : >"$directory/revoked"
    for name in web mesh; do
        jq -n --arg name "$name" --arg agent "$spire/spire-agent" --arg server "$spire/spire-server" --arg at "$work/$name" \
            --arg audience "$issuer" --arg id "spiffe://$name.interop.test/workload" \
            --arg file "$(url_of file /oauth2/token)" --arg endpoint "$(url_of endpoint /oauth2/token)" \
            --arg workload "$(url_of agent /oauth2/token)" --arg x509 "$directory/$name-x509" '{
                name: $name,
                sources: {
                    agent: [$agent, "api", "fetch", "jwt", "-socketPath", ($at + "/agent.sock"), "-audience", $audience, "-output", "json"],
                    server: [$server, "jwt", "mint", "-socketPath", ($at + "/server.sock"), "-audience", $audience, "-spiffeID", $id]
                },
                x509: {
                    id: $id, directory: $x509,
                    command: [$agent, "api", "fetch", "x509", "-socketPath", ($at + "/agent.sock"), "-write", $x509]
                },
                brokers: { file: $file, endpoint: $endpoint, agent: $workload }
            }'
    done | jq -s --arg ca "$work/bundles/ca.pem" '{ ca: $ca, domains: . }' >"$directory/plan"
    start_process load python3 scripts/interop.d/load.py "$directory"
}

# rotate ROUND: both authorities of both domains; then how long the old JWT authority's SVIDs still count at each broker.
rotate() {
    local round=$1 name kind broker
    for name in web mesh; do
        for kind in jwt x509; do
            authority "$name" "$kind" active >"$work/$name/old-$kind"
            spire_server "$name" localauthority "$kind" prepare >/dev/null
        done
        mint_long_lived "$name" >"$work/$name/old-svid"
        fetch_x509 "$name" "$work/$name/old-x509-svid"
    done
    reload_bundle_files
    sleep "$overlap_seconds"
    for name in web mesh; do
        for kind in jwt x509; do
            spire_server "$name" localauthority "$kind" activate \
                -authorityID "$(authority "$name" "$kind" prepared)" >/dev/null
        done
    done
    sleep "$sync_seconds"
    for name in web mesh; do
        for kind in jwt x509; do
            spire_server "$name" localauthority "$kind" taint -authorityID "$(<"$work/$name/old-$kind")" >/dev/null
        done
    done
    sleep "$sync_seconds"
    expect_no_refusals "round $round, before revoking"
    revoke
    measure_revocation "$round"
    expect_no_refusals "round $round, after revoking"
    expect_load_runs
}

revoke() {
    local name kind
    # From here on the load leaves the old authority's SVIDs alone; one that is under way has arrived a second later.
    cat "$work"/{web,mesh}/old-jwt >>"$work/load/revoked"
    sleep 2
    for name in web mesh; do
        for kind in jwt x509; do
            spire_server "$name" localauthority "$kind" revoke -authorityID "$(<"$work/$name/old-$kind")" >/dev/null
        done
    done
    revoked_at=$(date +%s%N)
    reload_bundle_files
}

# An SVID that outlives its authority, so that the authority's end is what refuses it.
mint_long_lived() {
    spire_server "$1" jwt mint -audience "$issuer" -spiffeID "spiffe://$1.interop.test/workload" -ttl 30m 2>>"$work/log/mint"
}

# What an operator with pinned bundles does: put the new file in place, then SIGHUP.
reload_bundle_files() {
    local name
    for name in web mesh; do
        write_bundle_file "$name"
    done
    kill -HUP "$(<"$work/broker-file.pid")"
}

# until_exchanged BROKER DOMAIN: the broker has read the bundle that the domain's SVIDs are of now.
until_exchanged() {
    local begin=$SECONDS
    until quiet_exchange "$1" jwt-spiffe "$(fetch_svid "$2")"; do
        ((SECONDS - begin < 30)) || fail "broker $1, $2: $(cause_of "$1")"
        sleep 0.2
    done
}

# How long the revoked authorities' SVIDs still count, at every broker at once.
measure_revocation() {
    local round=$1 pending=({jwt,x509}" "{file,endpoint,agent}" "{web,mesh}) still kind broker name one took
    while ((${#pending[@]} > 0)); do
        still=()
        for one in "${pending[@]}"; do
            read -r kind broker name <<<"$one"
            if old_counts "$kind" "$broker" "$name"; then
                still+=("$one")
                continue
            fi
            took=$((($(date +%s%N) - revoked_at) / 1000000))
            [[ $(cause_of "$broker") =~ ^(key.unknown|certificate.chain): ]] ||
                fail "the $kind SVID of the revoked authority: $(cause_of "$broker")"
            shown "round $round: $name by $(source_of "$broker" "$name"): revoked $kind authority refused within $took ms"
        done
        pending=("${still[@]}")
        (($(date +%s%N) - revoked_at < longest_after_revocation * 1000000000)) ||
            fail "round $round: revoked authorities count after $longest_after_revocation s: ${pending[*]}"
        sleep 0.1
    done
}

old_counts() {
    local kind=$1 broker=$2 name=$3
    case $kind in
    jwt) quiet_exchange "$broker" jwt-spiffe "$(<"$work/$name/old-svid")" ;;
    x509) quiet_x509_exchange "$broker" "$name" "$work/$name/old-x509-svid" ;;
    esac
}

expect_no_refusals() {
    if [[ -s $work/load/refused ]]; then
        head -3 "$work/load/refused"
        fail "$1: $(wc -l <"$work/load/refused") refusals"
    fi
}

expect_load_runs() {
    kill -0 "$(<"$work/load.pid")" 2>/dev/null || fail "the load ended early; see $work/log/load"
}

stop_load() {
    : >"$work/load/stop"
    wait "$(<"$work/load.pid")" || fail "the load failed; see $work/log/load"
    expect_no_refusals "in all"
    jq -r '.counts | to_entries | sort_by(.key)[] | "    \(.key) \(.value)"' "$work/load/result"
    shown "$rotations rotations of 4 authorities ($(jq .authorities "$work/load/result") JWT keys seen):" \
        "$(jq '[.counts[]] | add' "$work/load/result") exchanges, no refusal"
}
