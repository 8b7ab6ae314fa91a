#!/usr/bin/env bash
# pkcs11-tool (opensc 0.23.0 on Debian 12): `--token-label` takes a token whose label only begins with the text.
#
# Its help says "Specify the token label of the slot to use". Where the token `wxpay` is away and `wxpay-test` is there, `--token-label wxpay` means
# the other one, and a key or a PIN goes there without a word. `--slot` is exact.
#
# Seen (opensc 0.23.0-0.3+deb12u2, softhsm2 2.6.1-2.1):
#   --token-label wx: takes a token that begins so
#   --token-label pay: no token
set -euo pipefail
for program in softhsm2-util:softhsm2 pkcs11-tool:opensc; do
  command -v "${program%%:*}" >/dev/null || apt-get install -qq -y --no-install-recommends "${program##*:}" >/dev/null
done
dpkg-query -W -f '${Package} ${Version}\n' opensc softhsm2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SOFTHSM2_CONF=$work/softhsm2.conf
mkdir "$work/tokens"
echo "directories.tokendir = $work/tokens" >"$SOFTHSM2_CONF"
softhsm2-util --init-token --free --label wxpay --so-pin 12345678 --pin 1234 >/dev/null
module=$(find /usr/lib -name libsofthsm2.so | sort | head -n 1)
take() {
  if pkcs11-tool --module "$module" --token-label "$1" --login --pin 1234 --list-objects >/dev/null 2>&1; then
    echo "--token-label $1: takes a token that begins so"
  else
    echo "--token-label $1: no token"
  fi
}
seen=$(take wx; take pay)
expected='--token-label wx: takes a token that begins so
--token-label pay: no token'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves in another way now" >&2; exit 1; }
