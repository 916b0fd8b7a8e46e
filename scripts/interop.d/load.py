"""Exchanges SVIDs without a pause while their issuer's authorities rotate, for scripts/interop.

In: a directory with `plan`: the CA of the brokers, and for each trust domain its commands to get SVIDs and the brokers that
know it. Until a file `stop` is in the directory: gets JWT-SVIDs from the agent's Workload API and straight from the server,
and an X.509-SVID, and signs in to every broker with each of them and with two JWT-SVIDs that were issued earlier and still
count. Earlier ones count until their authority's id is in the file `revoked`. Out: the counts as JSON in `result`, and each
refusal in `refused`.
"""

import base64
import json
import pathlib
import random
import ssl
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


def jwt_form(svid: str) -> dict:
    return {"grant_type": "client_credentials", "client_assertion_type": JWT_SPIFFE, "client_assertion": svid}


def exchange(url: str, fields: dict, tls: ssl.SSLContext) -> dict | None:
    """None when it was exchanged, else the answer."""
    try:
        with urllib.request.urlopen(url, urllib.parse.urlencode(fields).encode(), timeout=20, context=tls) as answer:
            return None if "access_token" in json.load(answer) else {"error": "no token"}
    except urllib.error.HTTPError as refusal:
        return {"status": refusal.code, **json.load(refusal)}
    except OSError as fault:
        return {"error": str(fault)}


class Domain:
    def __init__(self, plan: dict):
        self.name, self.sources, self.brokers = plan["name"], plan["sources"], plan["brokers"]
        self.x509 = plan["x509"]
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

    def x509_tls(self, ca: str) -> ssl.SSLContext:
        """Signs in with an X.509-SVID that was fetched just now."""
        subprocess.run(self.x509["command"], check=True, capture_output=True)
        tls = ssl.create_default_context(cafile=ca)
        tls.load_cert_chain(self.x509["directory"] + "/svid.0.pem", self.x509["directory"] + "/svid.0.key")
        return tls


class Tally:
    def __init__(self, refused):
        self.refused, self.counts, self.keys = refused, {}, set()

    def add(self, domain: str, broker: str, how: str, answer: dict | None) -> None:
        name = f"{domain} {how} {broker}: {'exchanged' if answer is None else 'refused'}"
        self.counts[name] = self.counts.get(name, 0) + 1
        if answer is not None:
            line = {"at": time.time(), "domain": domain, "broker": broker, "svid": how, **answer}
            print(json.dumps(line), file=self.refused, flush=True)


def one_round(domain: Domain, ca: str, revoked, tally: Tally) -> None:
    tls = ssl.create_default_context(cafile=ca)
    for how, svid in domain.svids(revoked()):
        tally.keys.add(part(svid, 0)["kid"])
        for broker, url in domain.brokers.items():
            if part(svid, 0)["kid"] not in revoked():
                tally.add(domain.name, broker, f"JWT-SVID ({how})", exchange(url, jwt_form(svid), tls))
    tls = domain.x509_tls(ca)
    fields = {"grant_type": "client_credentials", "client_id": domain.x509["id"]}
    for broker, url in domain.brokers.items():
        tally.add(domain.name, broker, "X.509-SVID", exchange(url, fields, tls))


def main() -> None:
    directory = pathlib.Path(sys.argv[1])
    plan = json.loads((directory / "plan").read_text())
    domains = [Domain(domain) for domain in plan["domains"]]
    revoked = lambda: set((directory / "revoked").read_text().split())
    with (directory / "refused").open("w") as refused:
        tally = Tally(refused)
        while not (directory / "stop").exists():
            for domain in domains:
                one_round(domain, plan["ca"], revoked, tally)
    (directory / "result").write_text(json.dumps({"counts": tally.counts, "authorities": len(tally.keys)}))


main()
