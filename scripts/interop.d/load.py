"""Exchanges JWT-SVIDs without a pause while their issuer's authorities rotate, for scripts/interop.

In: a directory, the audience, and for each trust domain its command to get SVIDs and the brokers that know it. Until a file
`stop` is in the directory: gets SVIDs from the agent's Workload API and straight from the server, and sends each of them, and
two that were issued earlier and still count, to every broker. Earlier ones count until their authority's id is in the file
`revoked`. Out: the counts as JSON in `result`, and each refusal in `refused`.
"""

import base64
import json
import pathlib
import random
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
# An SVID lives five minutes; one that ends while it travels says nothing about rotation.
MARGIN_SECONDS = 20


def part(svid: str, index: int) -> dict:
    return json.loads(base64.urlsafe_b64decode(svid.split(".")[index] + "=="))


def fresh(command: list[str]) -> str:
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return json.loads(text)[0]["svids"][0]["svid"] if text.startswith("[") else text


def exchange(url: str, svid: str) -> dict | None:
    """None when it was exchanged, else the answer."""
    fields = {"grant_type": "client_credentials", "client_assertion_type": JWT_SPIFFE, "client_assertion": svid}
    try:
        with urllib.request.urlopen(url, urllib.parse.urlencode(fields).encode(), timeout=20) as answer:
            return None if "access_token" in json.load(answer) else {"error": "no token"}
    except urllib.error.HTTPError as refusal:
        return {"status": refusal.code, **json.load(refusal)}
    except OSError as fault:
        return {"error": str(fault)}


class Domain:
    def __init__(self, plan: dict):
        self.name, self.sources, self.brokers = plan["name"], plan["sources"], plan["brokers"]
        self.issued: list[str] = []

    def svids(self, revoked: set[str]) -> list[tuple[str, str]]:
        """What to send now: (how it was come by, SVID)."""
        now = time.time()
        counts = lambda svid: part(svid, 1)["exp"] > now + MARGIN_SECONDS and part(svid, 0)["kid"] not in revoked
        self.issued = [svid for svid in self.issued if counts(svid)]
        earlier = random.sample(self.issued, min(2, len(self.issued)))
        new = [(name, fresh(command)) for name, command in self.sources.items()]
        self.issued += [svid for _, svid in new if svid not in self.issued]
        return new + [("earlier", svid) for svid in earlier]


def main() -> None:
    directory = pathlib.Path(sys.argv[1])
    domains = [Domain(plan) for plan in json.loads((directory / "plan").read_text())]
    counts: dict[str, int] = {}
    keys: set[str] = set()
    with (directory / "refused").open("w") as refused:
        revoked = lambda: set((directory / "revoked").read_text().split())
        while not (directory / "stop").exists():
            for domain in domains:
                for how, svid in domain.svids(revoked()):
                    keys.add(part(svid, 0)["kid"])
                    for broker, url in domain.brokers.items():
                        if part(svid, 0)["kid"] in revoked():
                            continue
                        answer = exchange(url, svid)
                        outcome = "exchanged" if answer is None else "refused"
                        name = f"{domain.name} {broker} {outcome}"
                        counts[name] = counts.get(name, 0) + 1
                        if answer is not None:
                            line = {"at": time.time(), "domain": domain.name, "broker": broker, "svid": how}
                            print(json.dumps({**line, "kid": part(svid, 0)["kid"], **answer}), file=refused, flush=True)
    (directory / "result").write_text(json.dumps({"counts": counts, "authorities": len(keys)}))


main()
