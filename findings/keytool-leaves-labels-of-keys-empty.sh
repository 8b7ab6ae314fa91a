#!/usr/bin/env bash
# keytool with SunPKCS11 (openjdk-17-jre-headless on Debian 12): the alias that a key pair is generated under becomes the CKA_ID of the
# private key, as text, and its CKA_LABEL stays empty. Only the certificate has the alias as its label.
#
# Who looks for a private key by its label, as tools and PKCS#11 URIs (`object=…`) do, finds none, though `keytool -list` shows it under
# that name.
#
# Seen (openjdk-17-jre-headless 17.0.15+6-1~deb12u1, softhsm2 2.6.1-2.1, opensc 0.23.0-0.3+deb12u2):
#   private key: label "", ID 6d65726368616e74
#   certificate: label "merchant", ID 6d65726368616e74
set -euo pipefail
for program in keytool:openjdk-17-jre-headless softhsm2-util:softhsm2 pkcs11-tool:opensc; do
  command -v "${program%%:*}" >/dev/null || apt-get install -qq -y --no-install-recommends "${program##*:}" >/dev/null
done
dpkg-query -W -f '${Package} ${Version}\n' openjdk-17-jre-headless softhsm2 opensc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SOFTHSM2_CONF=$work/softhsm2.conf
mkdir "$work/tokens"
echo "directories.tokendir = $work/tokens" >"$SOFTHSM2_CONF"
slot=$(softhsm2-util --init-token --free --label finding --so-pin 12345678 --pin 1234 | sed -n 's/.*slot \([0-9]*\)$/\1/p')
module=$(find /usr/lib -name libsofthsm2.so | sort | head -n 1)
printf '%s\n' 'name = Finding' "library = $module" "slot = $slot" >"$work/pkcs11.conf"
keytool -genkeypair -alias merchant -keyalg RSA -keysize 2048 -dname CN=finding -keystore NONE -storetype PKCS11 \
  -storepass 1234 -addprovider SunPKCS11 -providerarg "$work/pkcs11.conf" >/dev/null 2>&1
show() {
  pkcs11-tool --module "$module" --slot "$slot" --login --pin 1234 --list-objects --type "$1" 2>/dev/null |
    awk -v what="$2" '/^ *label:/ { label = $2 } /^ *ID:/ { id = $2 } END { printf "%s: label \"%s\", ID %s\n", what, label, id }'
}
seen=$(show privkey 'private key'; show cert certificate)
expected='private key: label "", ID 6d65726368616e74
certificate: label "merchant", ID 6d65726368616e74'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves in another way now" >&2; exit 1; }
