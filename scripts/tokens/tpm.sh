# A software TPM with the merchant key. Sourced by scripts/with-tokens. Creating it takes eight seconds, so
# its state is kept in target/.

tpm() {
  local module cache
  "$root/scripts/install" swtpm:swtpm tpm2_shutdown:tpm2-tools tpm2_ptool:libtpm2-pkcs11-tools \
    tpm2-abrmd:tpm2-abrmd dbus-daemon:dbus '/usr/lib/*/libtpm2_pkcs11.so.1:libtpm2-pkcs11-1' \
    '/usr/lib/*/libtss2-tcti-swtpm.so.0:libtss2-tcti-swtpm0' \
    '/usr/lib/*/libtss2-tcti-tabrmd.so.0:libtss2-tcti-tabrmd0' || {
    echo "scripts/with-tokens: no TPM: see above" >&2
    return 0
  }
  module=$(library libtpm2_pkcs11.so.1)
  cache=$root/target/tokens/tpm-$( (swtpm --version && cat "$key" "$root"/scripts/tokens/{swtpm,new-tpm}) |
    sha256sum | cut -c 1-16)
  if [ ! -d "$cache" ] && ! "$root/scripts/tokens/new-tpm" "$cache" "$key" "$pin" >&2; then
    echo "scripts/with-tokens: no TPM: it cannot be set up" >&2
    return 0
  fi
  WXPAY_TEST_TPM_FOLDER=$work/tpm
  cp -R "$cache" "$WXPAY_TEST_TPM_FOLDER"
  if ! "$root/scripts/tokens/swtpm" start "$WXPAY_TEST_TPM_FOLDER"; then
    echo "scripts/with-tokens: no TPM: it does not start" >&2
    return 0
  fi
  export WXPAY_TEST_TPM=$module WXPAY_TEST_TPM_FOLDER
  export TPM2_PKCS11_STORE=$WXPAY_TEST_TPM_FOLDER/store
  export TPM2_PKCS11_TCTI=tabrmd:bus_type=session,bus_name=test.wxpay.tpm
  export DBUS_SESSION_BUS_ADDRESS=unix:path=$WXPAY_TEST_TPM_FOLDER/bus
  # No other key store, and no TPM messages on standard error.
  export TPM2_PKCS11_BACKEND=esysdb TSS2_LOG=all+NONE TPM2_PKCS11_LOG_LEVEL=0
}
