"""Generates an RSA key in a token with python-pkcs11: MODULE TOKEN PIN LABEL ID FILE; ID in hexadecimal digits, FILE for the public key."""

import sys

import pkcs11
from pkcs11.util.rsa import encode_rsa_public_key

module, token, pin, label, key_id, path = sys.argv[1:]
names = {}
if label:
    names["label"] = label
if key_id:
    names["id"] = bytes.fromhex(key_id)
with pkcs11.lib(module).get_token(token_label=token).open(rw=True, user_pin=pin) as session:
    public, _ = session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, **names)
    with open(path, "wb") as file:
        file.write(encode_rsa_public_key(public))
print("made")
