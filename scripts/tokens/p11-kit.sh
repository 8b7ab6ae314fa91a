# p11-kit between a module and its user. Sourced by scripts/with-tokens.

# The server in front of SoftHSM, for the client module.
p11_kit_client() {
  local module
  "$root/scripts/install" p11-kit:p11-kit '/usr/lib/*/pkcs11/p11-kit-client.so:p11-kit-modules' || {
    echo "scripts/with-tokens: no p11-kit-client: see above" >&2
    return 0
  }
  module=$(library p11-kit-client.so)
  WXPAY_TEST_P11_KIT_FOLDER=$work/p11-kit
  mkdir "$WXPAY_TEST_P11_KIT_FOLDER"
  if ! "$root/scripts/tokens/p11-kit-server" start "$WXPAY_TEST_P11_KIT_FOLDER"; then
    echo "scripts/with-tokens: no p11-kit-client: its server does not start" >&2
    return 0
  fi
  P11_KIT_SERVER_ADDRESS=unix:path=$WXPAY_TEST_P11_KIT_FOLDER/socket
  export WXPAY_TEST_P11_KIT_CLIENT=$module WXPAY_TEST_P11_KIT_FOLDER P11_KIT_SERVER_ADDRESS
}

# All modules registered by packages of this distribution, as one. p11-kit does not allow root its own settings,
# so these are the system's; those of a user are ignored.
p11_kit_proxy() {
  local module file
  module=$(library p11-kit-proxy.so)
  for file in softhsm2 tpm2_pkcs11; do
    if [ -z "$module" ] || [ -z "${WXPAY_TEST_TPM:-}" ] || [ ! -e "/usr/share/p11-kit/modules/$file.module" ]; then
      echo "scripts/with-tokens: no p11-kit-proxy: it shows SoftHSM and the TPM only where their" \
        "packages say so in /usr/share/p11-kit/modules" >&2
      return 0
    fi
  done
  export WXPAY_TEST_P11_KIT_PROXY=$module P11_KIT_NO_USER_CONFIG=1
}
