#!/usr/bin/env python3
"""A service that verifies tokens itself, with PyJWT and the broker's published keys (RFC 9068 §4).

In: ISSUER, the broker's issuer identifier; JWKS_URL, where its keys are (default ISSUER/oauth2/jwks); AUDIENCE, what a
token must be meant for (default ISSUER); SCOPE, what it must carry (default service:my-api); LISTEN (default
127.0.0.1:8080). It answers who called.

A token that was revoked is good here until it expires. Where that is too long, put the service behind the gateway.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

ISSUER = os.environ["ISSUER"]
AUDIENCE = os.environ.get("AUDIENCE", ISSUER)
SCOPE = os.environ.get("SCOPE", "service:my-api")
# Keys are kept for five minutes; an unknown kid fetches again, so a new signing key works at once.
KEYS = jwt.PyJWKClient(os.environ.get("JWKS_URL", ISSUER + "/oauth2/jwks"), lifespan=300)


def caller(token):
    """The claims of a token that is ours, alive and meant for us; raises jwt.PyJWTError."""
    if jwt.get_unverified_header(token).get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token (RFC 9068 §2.1)")
    key = KEYS.get_signing_key_from_jwt(token)
    return jwt.decode(
        token,
        key,
        algorithms=["ES256", "EdDSA", "RS256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        options={"require": ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]},
    )


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return self.answer(401, {"error": "no token"}, "Bearer")
        try:
            claims = caller(token)
        except jwt.PyJWKClientConnectionError:
            return self.answer(503, {"error": "the broker's keys cannot be had"})
        except jwt.PyJWTError:
            return self.answer(401, {"error": "invalid_token"}, 'Bearer error="invalid_token"')
        scopes = claims.get("scope", "").split()
        if SCOPE not in scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{SCOPE}"'
            return self.answer(403, {"error": "insufficient_scope"}, challenge)
        return self.answer(200, {"user": claims["sub"], "scopes": scopes})

    def answer(self, status, body, challenge=None):
        content = json.dumps(body).encode()
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Quiet: an access log is not what this shows."""


if __name__ == "__main__":
    host, _, port = os.environ.get("LISTEN", "127.0.0.1:8080").rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Service)
    print(f"listening on http://{host}:{server.server_port}", flush=True)
    server.serve_forever()
