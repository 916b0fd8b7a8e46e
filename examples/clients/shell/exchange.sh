#!/usr/bin/env bash
# A client id and secret in the form, an access token out, two calls with it. Nothing but curl and jq.
#
# In: BROKER_URL, CLIENT_ID, CLIENT_SECRET; and to call a service: SERVICE_URL, SERVICE_HOST (its Host header).
set -euo pipefail

: "${BROKER_URL:?where the broker is, for example http://127.0.0.1:8443}"
: "${CLIENT_ID:?the client id that \`countersign credential create\` printed}"
: "${CLIENT_SECRET:?the client secret that \`countersign credential create\` printed}"

# The secret goes through a pipe: arguments can be read by every process of the machine.
answer=$(printf '%s' "$CLIENT_SECRET" | curl --silent --show-error --fail-with-body "$BROKER_URL/oauth2/token" \
    --data-urlencode "grant_type=client_credentials" \
    --data-urlencode "client_id=$CLIENT_ID" \
    --data-urlencode "client_secret@-") || {
    echo "the exchange failed: $answer" >&2
    exit 1
}
token=$(jq --exit-status --raw-output .access_token <<<"$answer")

if [[ -z "${SERVICE_URL:-}" ]]; then
    echo "$token"
    exit
fi

call() {
    local seen
    seen=$(printf 'header = "%s"\n' "$1" | curl --silent --show-error --fail-with-body --config - \
        --header "Host: ${SERVICE_HOST:?the host name of the service}" "$SERVICE_URL") || {
        echo "the service refused ${1%%:*}: $seen" >&2
        return 1
    }
    jq --exit-status --raw-output \
        '.headers | "user=\(."x-countersign-user" // error("no user")) scopes=\(."x-countersign-scopes" // error("no scopes"))"' \
        <<<"$seen"
}

call "Authorization: Bearer $token"
call "X-Countersign-Auth: $token"
