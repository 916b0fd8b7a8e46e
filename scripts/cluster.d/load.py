"""Signs in over and over until a file appears; prints how it went and exits 1 if one sign-in failed.

Usage: load.py TOKEN_URL CLIENT_FILE STOP_FILE. CLIENT_FILE is what `countersign credential create` printed.
"""

import http.client
import os
import sys
import threading
import time
import urllib.parse

SENDERS = 8


def main() -> int:
    url, client_file, stop_file = sys.argv[1:4]
    with open(client_file, encoding="utf-8") as lines:
        client = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
    form = urllib.parse.urlencode({
        "grant_type": "client_credentials",
        "client_id": client["Client ID"],
        "client_secret": client["Client Secret"],
    })
    results: list[tuple[float, str]] = []
    senders = [threading.Thread(target=send, args=(url, form, stop_file, results)) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    failed = [what for _, what in results if what != "200"]
    times = sorted(seconds for seconds, _ in results)
    p99 = times[len(times) * 99 // 100] * 1000 if times else 0
    print(f"{len(results)} exchanges, {len(failed)} failed, p99 {p99:.1f} ms")
    for what in sorted(set(failed)):
        print(f"  {failed.count(what)} times: {what}")
    return 1 if failed or not results else 0


def send(url: str, form: str, stop_file: str, results: list[tuple[float, str]]) -> None:
    place = urllib.parse.urlsplit(url)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    while not os.path.exists(stop_file):
        begun = time.monotonic()
        try:
            connection = http.client.HTTPConnection(place.netloc, timeout=10)
            connection.request("POST", place.path, form, headers)
            answer = connection.getresponse()
            body = answer.read()
            what = str(answer.status) if answer.status == 200 else f"{answer.status} {body[:200]!r}"
            connection.close()
        except OSError as error:
            what = repr(error)
        results.append((time.monotonic() - begun, what))


sys.exit(main())
