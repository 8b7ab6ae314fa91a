"""What the doubles of KMS services have in common: a server, its control API and its journal.

A double listens on 127.0.0.1, on a free port, prints one line of JSON when it is ready, and ends when
its standard input is closed:

    python tests/kms/tencent.py [--tls CERTIFICATE KEY] --key MERCHANT_KEY

`POST /_control`, a JSON object with any of:

    {"faults": [F, …]}         replaces the queue of faults
    {"credentials": [C, …]}    replaces the accepted credentials, C: {"id", "secret", "token"?, "denied"?};
                               "denied": true lets it authenticate, and permits it nothing
    {"role": R}                what the metadata service gives, R: {"name", "id", "secret", "token",
                               "expires_in": seconds, "accepted"?: true}, or null for no role. Its
                               credential is accepted, unless "accepted" is false, and the one of the role
                               before is not any more
    {"states": {KEY: STATE}}   KEY is a name of the ready line, STATE "Enabled", "Disabled" or
                               "PendingDeletion"
    {"clock": seconds}         the clock of the service is that far ahead
    {"journal": []}            forgets the journal

A credential that was accepted before is refused with the service's code for an expired token if it had
a token, else with its code for an unknown id.

A fault is {"kind": …, "times": 1, "action": …}: it takes the place of the answer to the next request
that passes authentication, and is used up after so many times (-1: never). `action` limits it to
requests of that action; the metadata service has the action "metadata", and faults without an action do
not concern it. The queue is searched from its front for the first fault that fits. Kinds:

    throttle [retry_after] [code] [status]    the service's answer to too many requests
    error code [message] [status] [retry_after]
    html [status]                             a page of a proxy, 502 unless said otherwise
    hang                                      no answer until the client closes
    close                                     closes without an answer
    delay ms                                  the right answer, later
    truncate                                  the right answer, cut off in its middle, well-formed HTTP
    huge                                      the right answer with a field of 8 MiB in it
    wrong-key-id, id                          the right answer names another key
    wrong-key-version                         the right answer names another version
    other-key                                 signs with another key, or shows its public key
    pss, rehash                               signs with PSS; signs the SHA-256 of the digest
    strip                                     leaves leading zero bytes of the signature away

`GET /_journal` answers the list of requests so far, in the order in which they were answered:
{"action", "key_id", "key_version", "credential", "code": code or "ok", "status", "headers",
"signed_headers", "message_type", "algorithm", "fault"}. A request that got no answer has the status 0.
"""

import argparse
import base64
import dataclasses
import hashlib
import json
import re
import select
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

LARGEST_BODY = 1 << 20
PADDING = 8 << 20
SECRET_HEADERS = re.compile("token|secret|password", re.I)


@dataclasses.dataclass
class Request:
    """A request as it was received: nothing decoded but the header names, which are lower-case."""

    method: str
    target: str
    headers: list
    body: bytes

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def query(self):
        return self.target.partition("?")[2]

    def header(self, name):
        """The value of a header that is there once; `None` if it is not there, or more than once."""
        values = [value for key, value in self.headers if key == name]
        return values[0] if len(values) == 1 else None


@dataclasses.dataclass
class Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict = dataclasses.field(default_factory=dict)
    code: str = "ok"

    @classmethod
    def of(cls, value, status=200, **rest):
        return cls(status, json.dumps(value).encode(), **rest)


class Refusal(Exception):
    """The service says no. `status` is the one that the service documents for `code`."""

    def __init__(self, code, message, status=None):
        super().__init__(code, message)
        self.code, self.message, self.status = code, message, status


@dataclasses.dataclass
class Credential:
    id: str
    secret: str
    token: str | None = None
    denied: bool = False

    def public(self):
        return {k: v for k, v in dataclasses.asdict(self).items() if v not in (None, False)}


@dataclasses.dataclass
class Version:
    id: str
    private: object

    def der(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def pem(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()


@dataclasses.dataclass
class Key:
    name: str
    id: str
    usage: str
    versions: list
    state: str = "Enabled"


def new_id():
    return str(uuid.uuid4())


def new_rsa():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def new_ec():
    return ec.generate_private_key(ec.SECP256R1())


def sign_digest(private, digest, pss=False):
    """Signs a SHA-256 digest, with PSS as the services do it: MGF1 with SHA-256, a salt of 32 bytes."""
    prehashed = utils.Prehashed(hashes.SHA256())
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(digest, ec.ECDSA(prehashed))
    if pss:
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
    else:
        scheme = padding.PKCS1v15()
    return private.sign(digest, scheme, prehashed)


def base64_of(data):
    return base64.b64encode(data).decode()


def strict_base64(text):
    """The bytes that `text` encodes, or `None`: padded, standard alphabet, nothing else in it."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64_of(data) == text else None


def unique_object(pairs):
    """For `json.loads`: refuses an object that has a name twice."""
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name is there twice")
    return dict(pairs)


FAULT_FIELDS = {
    "throttle": {"retry_after", "code", "status"},
    "error": {"code", "message", "status", "retry_after"},
    "html": {"status"},
    "delay": {"ms"},
    **{
        kind: set()
        for kind in (
            "hang", "close", "truncate", "huge", "id", "wrong-key-id", "wrong-key-version",
            "other-key", "pss", "rehash", "strip",
        )
    },
}


class Double:
    """A double of a service. What is particular to one is below `# --`."""

    def __init__(self, key_file):
        with open(key_file, "rb") as file:
            self.merchant = serialization.load_pem_private_key(file.read(), None)
        self.lock = threading.RLock()
        self.faults, self.journal = [], []
        self.static, self.role, self.retired = {}, None, {}
        self.clock = 0
        self.keys = {}
        self.spare = new_rsa()

    def now(self):
        return time.time() + self.clock

    def add_key(self, name, usage, *privates, state="Enabled"):
        versions = [Version(new_id(), private) for private in privates]
        self.keys[name] = Key(name, new_id(), usage, versions, state)

    def key_by_id(self, key_id):
        return next((key for key in self.keys.values() if key.id == key_id), None)

    # The control API.

    def control(self, wishes):
        with self.lock:
            unknown = set(wishes) - {"faults", "credentials", "role", "states", "clock", "journal"}
            if unknown:
                raise ValueError(f"unknown: {sorted(unknown)}")
            if "faults" in wishes:
                self.faults = [self.checked_fault(fault) for fault in wishes["faults"]]
            if "credentials" in wishes:
                self.retired.update(self.static)
                self.static = {c["id"]: Credential(**c) for c in wishes["credentials"]}
            if "role" in wishes:
                self.set_role(wishes["role"])
            for name, state in wishes.get("states", {}).items():
                if state not in ("Enabled", "Disabled", "PendingDeletion"):
                    raise ValueError(f"no such state: {state}")
                self.keys[name].state = state
                self.state_changed(self.keys[name])
            self.clock = wishes.get("clock", self.clock)
            if "journal" in wishes:
                self.journal = []

    def checked_fault(self, fault):
        kind = fault.get("kind")
        if kind not in FAULT_FIELDS:
            raise ValueError(f"no such kind of fault: {kind}")
        unknown = set(fault) - FAULT_FIELDS[kind] - {"kind", "times", "action"}
        if unknown:
            raise ValueError(f"{kind} has no {sorted(unknown)}")
        if kind == "error" and "code" not in fault or kind == "delay" and "ms" not in fault:
            raise ValueError(f"{kind} lacks a field")
        fault = {"times": 1, "action": None, **fault}
        if kind == "id":
            fault["kind"] = "wrong-key-id"
        return fault

    def set_role(self, role):
        if self.role and self.role["accepted"]:
            self.retired[self.role["id"]] = self.role["credential"]
        self.role = None
        if role is not None:
            known = {"name", "id", "secret", "token", "expires_in", "accepted"}
            if set(role) - known:
                raise ValueError(f"a role has no {sorted(set(role) - known)}")
            credential = Credential(role["id"], role["secret"], role["token"])
            self.role = {"accepted": True, "expires_in": 3600, **role, "credential": credential}
            self.role["expires_at"] = int(self.now() + self.role["expires_in"])

    def accepted(self):
        with self.lock:
            accepted = dict(self.static)
            if self.role and self.role["accepted"]:
                accepted[self.role["id"]] = self.role["credential"]
            return accepted

    def credential(self, credential_id):
        """The accepted credential, or the one that was accepted once, and whether it still is."""
        with self.lock:
            found = self.accepted().get(credential_id)
            if found:
                return found, True
            return self.retired.get(credential_id), False

    def take_fault(self, action):
        with self.lock:
            for fault in self.faults:
                if fault["times"] == 0 or not self.concerns(fault, action):
                    continue
                if fault["times"] > 0:
                    fault["times"] -= 1
                return dict(fault)
        return None

    def concerns(self, fault, action):
        if fault["action"] is not None and fault["action"] != action:
            return False
        if action == "metadata" and fault["action"] is None:
            return False
        actions = self.fault_actions().get(fault["kind"])
        return actions is None or action in actions

    def ready(self, url):
        with self.lock:
            line = {
                "url": url,
                "metadata_url": url,
                "keys": {name: key.id for name, key in self.keys.items()},
                "credentials": {name: c.public() for name, c in self.named_credentials.items()},
            }
            if self.role:
                line["role"] = self.role["name"]
            line.update(self.more_ready())
            return line

    # --

    #: The names by which the ready line shows credentials.
    named_credentials = {}

    def fault_actions(self):
        """The actions that a kind of fault can concern at all; a kind that is absent concerns all."""
        return {}

    def more_ready(self):
        return {}

    def state_changed(self, key):
        pass

    def action(self, request):
        """The action that a request asks for, as it says without being checked."""
        raise NotImplementedError

    def authenticate(self, request, entry):
        raise NotImplementedError

    def perform(self, request, entry, fault):
        """The answer to an authenticated request, as an `Answer`; fills in the entry of the journal."""
        raise NotImplementedError

    def refusal(self, refusal):
        """How the service puts a `Refusal`."""
        raise NotImplementedError

    def throttling(self):
        """The code, message and status for too many requests."""
        raise NotImplementedError

    def metadata(self, request):
        """The answer of the metadata service, `None` if the path is none of its."""
        return None


def redacted(request):
    headers = {}
    for name, value in request.headers:
        if name == "authorization":
            value = re.sub(r"Signature=\S+", "Signature=…", value)
        elif SECRET_HEADERS.search(name) and "ttl" not in name:
            value = "…"
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def page(status):
    text = "<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n<center><h1>502 Bad Gateway</h1></center>\n</body>\n</html>\n"
    return Answer(status, text.replace("502", str(status)).encode(), "text/html")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120

    def log_message(self, *_):
        pass

    def handle_any(self):
        double = self.server.double
        lengths = self.headers.get_all("content-length", [])
        if self.headers.get("transfer-encoding") or len(lengths) > 1:
            self.close_connection = True
            return self.send(Answer.of({"message": "send a Content-Length"}, 411))
        length = int(lengths[0]) if lengths else 0
        if length > LARGEST_BODY:
            self.close_connection = True
            return self.send(Answer.of({"message": "too large"}, 413))
        headers = [(name.lower(), value.strip()) for name, value in self.headers.items()]
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        if request.path == "/_control":
            return self.control(request)
        if request.path == "/_journal":
            with double.lock:
                return self.send(Answer.of(double.journal))
        entry = {"action": None, "key_id": None, "key_version": None, "credential": None,
                 "code": None, "status": 0, "headers": redacted(request), "signed_headers": None,
                 "message_type": None, "algorithm": None, "fault": None}
        self.answer(request, entry)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_any

    def control(self, request):
        try:
            self.server.double.control(json.loads(request.body))
        except (ValueError, KeyError, TypeError) as error:
            return self.send(Answer.of({"message": repr(error)}, 400))
        self.send(Answer.of({}))

    def answer(self, request, entry):
        double = self.server.double
        fault = None
        answer = double.metadata(request)
        if answer is not None:
            entry["action"] = "metadata"
            entry["path"] = f"{request.method} {request.path}"
            fault = double.take_fault("metadata")
        else:
            try:
                entry["action"] = double.action(request)
                double.authenticate(request, entry)
                fault = double.take_fault(entry["action"])
                answer = double.perform(request, entry, fault)
            except Refusal as refusal:
                answer = double.refusal(refusal)
        if fault:
            entry["fault"] = fault["kind"]
            answer = self.distort(fault, answer)
        entry["code"] = answer.code if answer else "none"
        entry["status"] = answer.status if answer else 0
        with double.lock:
            double.journal.append(entry)
        if answer:
            return self.send(answer)
        self.close_connection = True
        if fault["kind"] == "hang":
            self.wait_for_close()

    def distort(self, fault, answer):
        """What becomes of the right answer; `None` if there is to be none."""
        double, kind = self.server.double, fault["kind"]
        if kind in ("hang", "close"):
            return None
        if kind in ("throttle", "error"):
            code, message, status = double.throttling()
            if kind == "error":
                code, message, status = fault["code"], fault.get("message", "as it was asked for"), None
            answer = double.refusal(
                Refusal(fault.get("code", code), message, fault.get("status", status)))
            if "retry_after" in fault:
                answer.headers["Retry-After"] = str(fault["retry_after"])
        elif kind == "html":
            answer = page(fault.get("status", 502))
            answer.code = "html"
        elif kind == "delay":
            time.sleep(fault["ms"] / 1000)
        elif kind == "truncate":
            answer.body = answer.body[: len(answer.body) // 2]
        elif kind == "huge":
            value = json.loads(answer.body)
            inner = value.get("Response", value)
            inner["Padding"] = "x" * PADDING
            answer.body = json.dumps(value).encode()
        return answer

    def wait_for_close(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if not select.select([self.connection], [], [], 1)[0]:
                continue
            try:
                if not self.connection.recv(4096):
                    return
            except ssl.SSLWantReadError:
                continue
            except OSError:
                return

    def send(self, answer):
        lines = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('-',))[0]}"]
        headers = {"Content-Type": answer.content_type, "Content-Length": len(answer.body),
                   "Date": self.date_time_string(), **answer.headers}
        if self.close_connection:
            headers["Connection"] = "close"
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        try:
            self.wfile.write(head + (b"" if self.command == "HEAD" else answer.body))
        except OSError:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, double, tls):
        super().__init__(("127.0.0.1", 0), Handler)
        self.double, self.context = double, None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)
            self.context.set_alpn_protocols(["http/1.1"])

    def finish_request(self, request, client_address):
        if self.context is None:
            return super().finish_request(request, client_address)
        request.settimeout(30)
        try:
            with self.context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:
            pass  # The client does not trust this certificate, or went away.

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def arguments(description, add=lambda parser: None):
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="PEM files")
    parser.add_argument("--key", required=True, help="the merchant's private key, PEM, PKCS#8")
    add(parser)
    return parser.parse_args()


def run(double, tls):
    server = Server(double, tls)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    print(json.dumps(double.ready(url)), flush=True)
    sys.stdin.buffer.read()


def sha256_hex(data):
    return hashlib.sha256(data).hexdigest()


def quote(text):
    """RFC 3986: everything but the unreserved characters."""
    return urllib.parse.quote(text, safe="-_.~")


def own_host(host):
    """Whether a Host header names this server: a client that signs another host is not to pass."""
    return bool(re.fullmatch(r"(127\.0\.0\.1|localhost):\d+", host or ""))
