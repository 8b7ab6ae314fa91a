"""AWS KMS by moto, with the bugs of moto in Sign, Decrypt and GetPublicKey fixed in this process.

Bugs in moto 5.2.5 (found by comparing its kms/responses.py, kms/models.py and kms/utils.py with the API
reference of AWS KMS, and by testing it with boto3: check_doubles.py repeats each test with
`--as-published`, so a moto release that fixes one is noticed):

 1. Sign ignores MessageType: with DIGEST it signs the SHA-256 of the digest. (So does Verify, which is not
    fixed.)
 2. Sign and GetPublicKey work with a key that is disabled or pending deletion, instead of raising
    DisabledException or KMSInvalidStateException.
 3. Sign accepts a raw message of more than 4096 bytes, and a digest of any length.
 4. Sign with a key that is not for signing, or with an algorithm that the key does not support, raises
    ValidationException instead of InvalidKeyUsageException.
 5. GetPublicKey returns the plain id in KeyId, where AWS returns the ARN; it has no KeySpec in addition to
    the outdated CustomerMasterKeySpec; and it returns null where AWS omits a field.
 6. GetPublicKey invents an RSA key for a symmetric one, instead of raising UnsupportedOperationException.
 7. PSS signatures have the longest possible salt instead of one as long as the hash.
 8. No request is authenticated: Signature Version 4 is not checked. This is not fixed: the caller of the
    signer supplies the client, and the client signs requests.
 9. Decrypt ignores EncryptionAlgorithm: an RSA key decrypts only what moto's Encrypt has made, which is not
    RSA. (Encrypt is not fixed.)

With `--as-published`, none of this is fixed; the merchant's key is imported all the same.

The control API is that of double.py, without "credentials" and "role", which moto does not support. There
is no EC2 metadata service.
"""

import base64
import hashlib
import io
import json
import re

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from moto.core.exceptions import JsonRESTError
from moto.kms.models import kms_backends
from moto.kms.responses import KmsResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import run_wsgi_app

from double import Answer, Credential, Double
from keys import decrypt_oaep, new_id, sign_digest
from serving import arguments, run

REGION, ACCOUNT = "us-east-1", "123456789012"
RSA_HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


class KmsError(JsonRESTError):
    code = 400


def usable(key):
    if key.key_state == "Disabled":
        raise KmsError("DisabledException", f"{key.arn} is disabled.")
    if key.key_state != "Enabled":
        raise KmsError("KMSInvalidStateException", f"{key.arn} is {key.key_state}.")


def key_of(response):
    key_id = response._get_param("KeyId")
    response._validate_key_id(key_id)
    return response.kms_backend.describe_key(key_id)


def sign(response):
    key = key_of(response)
    message = response._get_param("Message")
    message_type = response._get_param("MessageType") or "RAW"
    algorithm = response._get_param("SigningAlgorithm")
    if message_type not in ("RAW", "DIGEST") or not message or len(message) > 4096:
        raise KmsError(
            "ValidationException", "MessageType is RAW or DIGEST, Message 1 to 4096 bytes long."
        )
    usable(key)
    if key.key_usage != "SIGN_VERIFY":
        raise KmsError("InvalidKeyUsageException", f"{key.arn} key usage is {key.key_usage}.")
    if algorithm not in key.signing_algorithms:
        raise KmsError(
            "InvalidKeyUsageException",
            f"Algorithm {algorithm} is incompatible with key spec {key.key_spec}.",
        )
    chosen = RSA_HASHES[algorithm[-3:]]()
    if message_type == "RAW":
        digest = hashes.Hash(chosen)
        digest.update(message)
        message = digest.finalize()
    elif len(message) != chosen.digest_size:
        raise KmsError("ValidationException", "Digest is invalid length for algorithm " + algorithm)
    signature = sign_prehashed(key.private_key.private_key, message, algorithm, chosen)
    return json.dumps(
        {
            "KeyId": key.arn,
            "Signature": base64.b64encode(signature).decode(),
            "SigningAlgorithm": algorithm,
        }
    )


def sign_prehashed(private, digest, algorithm, chosen):
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(digest, ec.ECDSA(Prehashed(chosen)))
    scheme = padding.PKCS1v15()
    if "PSS" in algorithm:
        scheme = padding.PSS(padding.MGF1(chosen), salt_length=chosen.digest_size)
    return private.sign(digest, scheme, Prehashed(chosen))


decrypt_as_published = KmsResponse.decrypt


def decrypt(response):
    algorithm = response._get_param("EncryptionAlgorithm") or "SYMMETRIC_DEFAULT"
    if algorithm == "SYMMETRIC_DEFAULT":
        return decrypt_as_published(response)
    key = key_of(response)
    usable(key)
    if key.key_usage != "ENCRYPT_DECRYPT":
        raise KmsError("InvalidKeyUsageException", f"{key.arn} key usage is {key.key_usage}.")
    if algorithm not in key.encryption_algorithms:
        raise KmsError(
            "InvalidKeyUsageException",
            f"Algorithm {algorithm} is incompatible with key spec {key.key_spec}.",
        )
    ciphertext = response._get_param("CiphertextBlob")
    plaintext = decrypt_oaep(key.private_key.private_key, ciphertext, algorithm)
    if plaintext is None:
        raise KmsError("InvalidCiphertextException", None)
    return json.dumps(
        {
            "KeyId": key.arn,
            "Plaintext": base64.b64encode(plaintext).decode(),
            "EncryptionAlgorithm": algorithm,
        }
    )


def get_public_key(response):
    key = key_of(response)
    usable(key)
    if key.key_spec == "SYMMETRIC_DEFAULT" or key.key_spec.startswith("HMAC"):
        raise KmsError("UnsupportedOperationException", f"{key.arn} is not asymmetric.")
    answer = {
        "CustomerMasterKeySpec": key.key_spec,
        "EncryptionAlgorithms": key.encryption_algorithms,
        "KeyId": key.arn,
        "KeySpec": key.key_spec,
        "KeyUsage": key.key_usage,
        "PublicKey": base64.b64encode(key.private_key.public_key()).decode(),
        "SigningAlgorithms": key.signing_algorithms,
    }
    return json.dumps({name: value for name, value in answer.items() if value})


class Moto(Double):
    def __init__(self, key_file, as_published):
        super().__init__(key_file)
        self.as_published = as_published
        if not as_published:
            KmsResponse.sign, KmsResponse.get_public_key = sign, get_public_key
            KmsResponse.decrypt = decrypt
        self.app = DomainDispatcherApplication(create_backend_app)
        self.backend = kms_backends[ACCOUNT][REGION]
        self.arns = {}
        self.named_credentials = {
            "static": Credential("AKIDOFTHEDOUBLE00000", "any-secret-will-do")
        }
        for name, spec, usage in (
            ("merchant", "RSA_2048", "SIGN_VERIFY"),
            ("born", "RSA_2048", "SIGN_VERIFY"),
            ("other", "RSA_2048", "SIGN_VERIFY"),
            ("disabled", "RSA_2048", "SIGN_VERIFY"),
            ("ec", "ECC_NIST_P256", "SIGN_VERIFY"),
            ("encrypt", "RSA_2048", "ENCRYPT_DECRYPT"),
            ("fields", "RSA_2048", "ENCRYPT_DECRYPT"),
            ("symmetric", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ):
            made = self.backend.create_key(None, usage, spec, name, None)
            if name in ("merchant", "fields"):
                made.private_key.private_key = self.merchant
            if name == "other":
                made.private_key.private_key = self.spare
            self.add_key(name, usage, made.private_key.private_key)
            self.keys[name].id = made.id
            self.arns[name] = made.arn
        self.keys["disabled"].state = "Disabled"
        self.state_changed(self.keys["disabled"])

    def state_changed(self, key):
        if key.state == "Enabled":
            self.backend.enable_key(key.id)
        elif key.state == "Disabled":
            self.backend.disable_key(key.id)
        else:
            self.backend.schedule_key_deletion(key.id, 7)

    def fault_actions(self):
        sign, both = {"Sign"}, {"Sign", "GetPublicKey"}
        return {
            "pss": sign,
            "rehash": sign,
            "strip": sign,
            "other-key": both,
            "wrong-key-id": both,
            "wrong-key-version": set(),
        }

    def more_ready(self):
        return {"region": REGION, "arns": self.arns, "as_published": self.as_published}

    def control(self, wishes):
        if {"credentials", "role"} & set(wishes):
            raise ValueError("moto authenticates nobody")
        super().control(wishes)

    def action(self, request):
        return (request.header("x-amz-target") or "").partition(".")[2]

    def authenticate(self, request, entry):
        """Does not authenticate, like moto; returns the claimed identity."""
        parts = re.search(r"Credential=([^/]+)/", request.header("authorization") or "")
        entry["credential"] = parts and parts[1]

    def perform(self, request, entry, fault):
        try:
            fields = json.loads(request.body)
            entry.update(
                key_id=fields.get("KeyId"),
                algorithm=fields.get("SigningAlgorithm") or fields.get("EncryptionAlgorithm"),
                message_type=fields.get("MessageType"),
            )
        except (ValueError, AttributeError):
            fields = {}
        answer = self.ask(request)
        if fault and answer.code == "ok":
            value = json.loads(answer.body)
            self.change(value, fields, fault["kind"])
            answer.body = json.dumps(value).encode()
        return answer

    def ask(self, request):
        environ = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(request.body)),
            "CONTENT_TYPE": request.header("content-type") or "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in request.headers:
            environ.setdefault("HTTP_" + name.upper().replace("-", "_"), value)
        with self.lock:
            body, status, headers = run_wsgi_app(self.app, environ, buffered=True)
        body, status = b"".join(body), int(status.split()[0])
        code = "ok"
        if status >= 400:
            try:
                code = json.loads(body)["__type"]
            except (ValueError, KeyError):
                code = str(status)
        named = {"x-amzn-RequestId": headers.get("x-amzn-requestid") or new_id()}
        return Answer(status, body, "application/x-amz-json-1.1", named, code)

    def change(self, value, fields, kind):
        """Applies a fault to the correct response."""
        if kind == "wrong-key-id":
            value["KeyId"] = value["KeyId"].rpartition("/")[0] + "/" + new_id()
        elif kind == "other-key" and "PublicKey" in value:
            value["PublicKey"] = base64.b64encode(self.keys["other"].versions[0].der()).decode()
        elif kind in ("other-key", "pss", "rehash", "strip"):
            message = base64.b64decode(fields["Message"])
            if fields.get("MessageType", "RAW") == "RAW":
                message = hashlib.sha256(message).digest()
            if kind == "rehash":
                message = hashlib.sha256(message).digest()
            named = fields["KeyId"].rpartition("/")[2]
            private = (
                self.spare if kind == "other-key" else self.key_by_id(named).versions[0].private
            )
            signature = sign_digest(private, message, kind == "pss")
            if kind == "strip":
                signature = signature.lstrip(b"\0")
            value["Signature"] = base64.b64encode(signature).decode()

    def refusal(self, refusal):
        body = {"__type": refusal.code, "message": refusal.message}
        return Answer.of(
            body,
            refusal.status or 400,
            code=refusal.code,
            content_type="application/x-amz-json-1.1",
            headers={"x-amzn-RequestId": new_id()},
        )

    def throttling(self):
        return "ThrottlingException", "Rate exceeded", 400


def main():
    options = arguments(
        __doc__, lambda parser: parser.add_argument("--as-published", action="store_true")
    )
    run(Moto(options.key, options.as_published), options.tls)


if __name__ == "__main__":
    main()
