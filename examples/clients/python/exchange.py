#!/usr/bin/env python3
"""Gets an access token and calls a service with it; standard library only.

In: BROKER_URL, SERVICE_URL, SERVICE_HOST (its Host header); and who we are: CLIENT_ID with CLIENT_SECRET, or the
platform's own identity token in CLIENT_ASSERTION. With both, both are shown, one after the other.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
environment = os.environ
# Without proxies of the environment: a token is shown to the service and to nobody else.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def forms():
    """The token requests that the environment allows."""
    if environment.get("CLIENT_ID") and environment.get("CLIENT_SECRET"):
        yield {"client_id": environment["CLIENT_ID"], "client_secret": environment["CLIENT_SECRET"]}
    if environment.get("CLIENT_ASSERTION"):
        yield {"client_assertion_type": ASSERTION_TYPE, "client_assertion": environment["CLIENT_ASSERTION"]}


def read_json(request):
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)


def exchange(form):
    body = urllib.parse.urlencode({"grant_type": "client_credentials", **form}).encode()
    return read_json(urllib.request.Request(environment["BROKER_URL"] + "/oauth2/token", data=body))["access_token"]


def call(header, value):
    headers = {header: value}
    if environment.get("SERVICE_HOST"):
        headers["Host"] = environment["SERVICE_HOST"]
    seen = read_json(urllib.request.Request(environment["SERVICE_URL"], headers=headers))["headers"]
    print(f"user={seen['x-countersign-user']} scopes={seen['x-countersign-scopes']}")


def main():
    requests = list(forms())
    if not requests:
        sys.exit("set CLIENT_ID and CLIENT_SECRET, or CLIENT_ASSERTION")
    for form in requests:
        token = exchange(form)
        call("Authorization", f"Bearer {token}")
        call("X-Countersign-Auth", token)


if __name__ == "__main__":
    try:
        main()
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.url} answered {error.code}: {error.read().decode(errors='replace')}")
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"failed: {error!r}")
