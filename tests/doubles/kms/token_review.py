"""A double of the TokenReview API of Kubernetes, for the Kubernetes login of OpenBao.

    python tests/doubles/kms/token_review.py FOLDER

Writes JSON Web Tokens into FOLDER: `wxpay.jwt` of the service account wxpay in the namespace payments,
`intruder.jwt` of another service account there, and `expired.jwt`, an expired one of wxpay. Prints one line
of JSON, {"url", "reviewer": the token that OpenBao must send with its request}, and exits when it is
killed, or when its parent has exited.

As in the Kubernetes API server, a token is confirmed if this program signed it (RS256, with a key generated
at startup), it has not expired, and the audience matches.
"""

import base64
import json
import os
import pathlib
import secrets
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "https://kubernetes.default.svc.cluster.local"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
REVIEWER = secrets.token_urlsafe(24)


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def token(namespace, account, lifetime):
    now = int(time.time())
    claims = {
        "aud": [AUDIENCE],
        "exp": now + lifetime,
        "iat": now - 3600,
        "nbf": now - 3600,
        "iss": AUDIENCE,
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {
                "name": account,
                "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, account)),
            },
        },
        "sub": f"system:serviceaccount:{namespace}:{account}",
    }
    signed = ".".join(
        encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims)
    )
    return f"{signed}.{encoded(KEY.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def claims_of(text):
    """Returns the claims of a token that is valid now; raises otherwise."""
    signed, _, signature = text.rpartition(".")
    KEY.public_key().verify(
        decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    claims = json.loads(decoded(signed.partition(".")[2]))
    if not claims["nbf"] <= time.time() < claims["exp"]:
        raise ValueError("token has expired")
    return claims


def review(spec):
    try:
        claims = claims_of(spec["token"])
        audiences = spec.get("audiences") or [AUDIENCE]
        if not set(audiences) & set(claims["aud"]):
            raise ValueError("token audiences do not fit")
    except (InvalidSignature, ValueError, KeyError) as error:
        return {"authenticated": False, "user": {}, "error": f"invalid bearer token: {error}"}
    account = claims["kubernetes.io"]
    return {
        "authenticated": True,
        "audiences": audiences,
        "user": {
            "username": claims["sub"],
            "uid": account["serviceaccount"]["uid"],
            "groups": [
                "system:serviceaccounts",
                f"system:serviceaccounts:{account['namespace']}",
                "system:authenticated",
            ],
        },
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("authorization") != f"Bearer {REVIEWER}":
            return self.send(
                401, {"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401}
            )
        if self.path != "/apis/authentication.k8s.io/v1/tokenreviews":
            return self.send(
                404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
            )
        question = json.loads(body)
        self.send(
            201,
            {
                **question,
                "kind": "TokenReview",
                "apiVersion": "authentication.k8s.io/v1",
                "status": review(question["spec"]),
            },
        )

    def send(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    folder = pathlib.Path(sys.argv[1])
    for name, account, lifetime in (
        ("wxpay", "wxpay", 86400),
        ("intruder", "intruder", 86400),
        ("expired", "wxpay", -600),
    ):
        folder.joinpath(f"{name}.jwt").write_text(token("payments", account, lifetime))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    parent = os.getppid()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(
        json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}", "reviewer": REVIEWER}),
        flush=True,
    )
    while os.getppid() == parent:
        time.sleep(1)


if __name__ == "__main__":
    main()
