"""Code shared by the doubles of KMS services: keys, credentials, faults and the control API.

A double listens on a free port of 127.0.0.1, prints one line of JSON when it is ready, and exits when
its standard input is closed:

    python tests/doubles/kms/tencent.py [--tls CERTIFICATE KEY] --key MERCHANT_KEY

`POST /_control`, a JSON object with any of:

    {"faults": [F, …]}         replaces the queue of faults
    {"credentials": [C, …]}    replaces the accepted credentials, C: {"id", "secret", "token"?, "denied"?};
                               "denied": true lets it authenticate, but grants no permission
    {"role": R}                the role of the metadata service, R: {"name", "id", "secret", "token",
                               "expires_in": seconds, "accepted"?: true}, or null for no role. Its
                               credential is accepted unless "accepted" is false; that of the previous role
                               is no longer accepted
    {"states": {KEY: STATE}}   KEY is a name of the ready line, STATE "Enabled", "Disabled" or
                               "PendingDeletion"
    {"clock": seconds}         how far the clock of the service is ahead
    {"journal": []}            clears the journal

A credential that is no longer accepted is refused with the service's code for an expired token if it had
a token, otherwise with its code for an unknown id.

A fault is {"kind": …, "times": 1, "action": …}: it replaces the response to the next request that passes
authentication, and is used up after this many times (-1: never). `action` limits it to requests of that
action; the metadata service has the action "metadata", and faults without an action do not affect it. The
first matching fault of the queue is used. Kinds:

    throttle [retry_after] [code] [status]    the service's response to too many requests
    error code [message] [status] [retry_after]
    html [status]                             a proxy page, 502 by default
    hang                                      no response until the client closes the connection
    close                                     closes without a response
    delay ms                                  the correct response, delayed
    truncate                                  the correct response, cut in half, as well-formed HTTP
    huge                                      the correct response with an additional field of 8 MiB
    wrong-key-id, id                          the correct response, naming another key
    wrong-key-version                         the correct response, naming another version
    other-key                                 signs with another key, or returns its public key
    pss, rehash                               signs with PSS; signs the SHA-256 of the digest
    strip                                     omits leading zero bytes of the signature

`GET /_journal` returns the list of requests so far, in the order of their responses:
{"action", "key_id", "key_version", "credential", "code": code or "ok", "status", "headers",
"signed_headers", "message_type", "algorithm", "fault"}. A request without a response has the status 0.
"""

import dataclasses
import json
import re
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives import serialization

from keys import Key, Version, new_id, new_rsa


@dataclasses.dataclass
class Request:
    """A request as received: nothing is decoded, except that header names are in lower case."""

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
        """Returns the value of a header; `None` if it is missing or repeated."""
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
    """A refusal of the service. `status` is the one that the service documents for `code`."""

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


def unique_object(pairs):
    """For `json.loads`: refuses an object with a duplicate name."""
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name is there twice")
    return dict(pairs)


def quote(text):
    """Percent-encodes everything except the unreserved characters of RFC 3986."""
    return urllib.parse.quote(text, safe="-_.~")


def own_host(host):
    """Returns whether a Host header names this server: a client that signs another host must be refused."""
    return bool(re.fullmatch(r"(127\.0\.0\.1|localhost):\d+", host or ""))


FAULT_FIELDS = {
    "throttle": {"retry_after", "code", "status"},
    "error": {"code", "message", "status", "retry_after"},
    "html": {"status"},
    "delay": {"ms"},
    **{
        kind: set()
        for kind in (
            "hang",
            "close",
            "truncate",
            "huge",
            "id",
            "wrong-key-id",
            "wrong-key-version",
            "other-key",
            "pss",
            "rehash",
            "strip",
        )
    },
}


class Double:
    """A double of a service. The parts that each service overrides are below `# --`."""

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
        """Returns the credential that is or was accepted, and whether it still is."""
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

    #: The names of the credentials in the ready line.
    named_credentials = {}

    def fault_actions(self):
        """Returns the actions to which each kind of fault applies; a missing kind applies to all."""
        return {}

    def more_ready(self):
        return {}

    def state_changed(self, key):
        pass

    def action(self, request):
        """Returns the action that a request names, unchecked."""
        raise NotImplementedError

    def authenticate(self, request, entry):
        raise NotImplementedError

    def perform(self, request, entry, fault):
        """Returns the response to an authenticated request as an `Answer`; fills in the journal entry."""
        raise NotImplementedError

    def refusal(self, refusal):
        """Returns the response of the service for a `Refusal`."""
        raise NotImplementedError

    def throttling(self):
        """Returns the code, message and status for too many requests."""
        raise NotImplementedError

    def metadata(self, request):
        """Returns the response of the metadata service, `None` for an unknown path."""
        return None
