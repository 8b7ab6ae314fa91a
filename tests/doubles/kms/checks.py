"""Code shared by the checks of the doubles."""

import contextlib
import hashlib
import http.client
import json
import pathlib
import subprocess
import sys
import time
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

HERE = pathlib.Path(__file__).resolve().parent
TESTDATA = HERE.parents[2] / "crates/wxpay-auth-kms/testdata"
MERCHANT = TESTDATA / "keys/merchant_private_key.pem"
MESSAGE = "GET\n/v3/某\n1554208460\nnonce\n\n".encode()
DIGEST = hashlib.sha256(MESSAGE).digest()
PRIVATE = serialization.load_pem_private_key(MERCHANT.read_bytes(), None)
EXPECTED = PRIVATE.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())

results = []


def check(name, holds, seen=None):
    results.append(bool(holds))
    if not holds:
        print(f"FAILED: {name}" + ("" if seen is None else f": {seen!r}"))


@contextlib.contextmanager
def started(program, *more):
    """Runs a double; yields its ready line."""
    command = [sys.executable, "-B", str(HERE / program), "--key", str(MERCHANT), *more]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        check(f"{program} ends when its standard input is closed", process.wait(10) == 0)


def send(ready, method, target, headers=(), body=b"", timeout=10):
    """Sends a request with exactly these headers; returns the response's status, headers and body."""
    host = urllib.parse.urlsplit(ready["url"]).netloc
    connection = http.client.HTTPConnection(host, timeout=timeout)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if body or method in ("POST", "PUT"):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    try:
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def control(ready, **wishes):
    status, _, body = send(ready, "POST", "/_control", [("Host", "x")], json.dumps(wishes).encode())
    if status != 200:
        raise RuntimeError(body)


def journal(ready):
    return json.loads(send(ready, "GET", "/_journal", [("Host", "x")])[2])


def verifies(spki, signature, digest=DIGEST, pss=False):
    public = spki if not isinstance(spki, bytes) else serialization.load_der_public_key(spki)
    prehashed = utils.Prehashed(hashes.SHA256())
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, digest, ec.ECDSA(prehashed))
        else:
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if pss else padding.PKCS1v15()
            public.verify(signature, digest, scheme, prehashed)
        return True
    except InvalidSignature:
        return False


def mutations(text, every=1):
    """Yields the text with one bit of one byte changed, for every n-th byte."""
    for at in range(0, len(text), every):
        yield text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]


def check_raw_faults(ready, vendor, make, field):
    """Checks the HTTP faults without an SDK."""

    def ask(timeout=10):
        headers, body, *target = make()
        return send(ready, "POST", target[0] if target else "/", headers, body, timeout)

    def fault(kind, **fields):
        control(ready, faults=[{"kind": kind, **fields}])

    fault("html", status=503)
    status, headers, body = ask()
    check(
        vendor + ": HTML",
        status == 503 and b"<html>" in body and headers["Content-Type"] == "text/html",
    )
    fault("throttle", retry_after=7)
    check(vendor + ": Retry-After", ask()[1].get("Retry-After") == "7")
    fault("truncate")
    body = ask()[2]
    try:
        json.loads(body)
        check(vendor + ": truncated", False, body)
    except ValueError:
        check(vendor + ": truncated", True)
    fault("huge")
    body = ask()[2]
    check(vendor + ": huge", len(body) > 8 << 20 and field in body.decode())
    fault("delay", ms=300)
    begin = time.monotonic()
    check(vendor + ": delayed", ask()[0] == 200 and time.monotonic() - begin >= 0.3)
    fault("close")
    try:
        check(vendor + ": closed", not ask())
    except (http.client.RemoteDisconnected, ConnectionError):
        check(vendor + ": closed", True)
    fault("hang")
    try:
        check(vendor + ": hangs", not ask(timeout=1))
    except TimeoutError:
        check(vendor + ": hangs", True)
    check(
        vendor + ": journal",
        [e["fault"] for e in journal(ready)][-7:]
        == ["html", "throttle", "truncate", "huge", "delay", "close", "hang"],
    )
    check(vendor + ": healthy again", ask()[0] == 200)
    try:
        fault("nonsense")
        check(vendor + ": an unknown fault", False)
    except RuntimeError:
        check(vendor + ": an unknown fault", True)
