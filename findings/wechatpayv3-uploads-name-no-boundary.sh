#!/usr/bin/env bash
# wechatpayv3 2.0.4 (Python): an upload says that it is a form of several parts, and not what separates them.
#
# The client sets "Content-Type: multipart/form-data" itself, so requests, which makes the body and chooses the boundary, does not add
# the boundary to the header. RFC 7578 requires it there: a server that keeps to the rules cannot read such an upload, and one that
# guesses from the first line of the body can.
#
# Seen:
#   Content-Type: multipart/form-data
#   the body begins with a boundary: True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check wechatpayv3==2.0.4
cat >"$work/finding.py" <<'PYTHON'
import http.server
import os
import sys
import threading

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from wechatpayv3 import WeChatPay, WeChatPayType

seen = []


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen.append((self.headers["Content-Type"], body))
        self.send_response(400)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


os.environ["NO_PROXY"] = "127.0.0.1"
server = http.server.HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
text = serialization.Encoding.PEM
private = key.private_bytes(text, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
public = key.public_key().public_bytes(text, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
client = WeChatPay(
    wechatpay_type=WeChatPayType.NATIVE,
    mchid="1900000001",
    private_key=private,
    cert_serial_no="0" * 39 + "1",
    apiv3_key="0" * 32,
    appid="wx0000000000000000",
    public_key=public,
    public_key_id="PUB_KEY_ID_0000000000000000000000000001",
)
client._core._gate_way = f"http://127.0.0.1:{server.server_port}"
image = os.path.join(sys.argv[1], "logo.png")
with open(image, "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n")
client.image_upload(image)
content_type, body = seen[0]
print(f"Content-Type: {content_type}")
print(f"the body begins with a boundary: {body.startswith(b'--')}")
PYTHON
seen=$("$work/venv/bin/python" "$work/finding.py" "$work")
expected='Content-Type: multipart/form-data
the body begins with a boundary: True'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves in another way now" >&2; exit 1; }
