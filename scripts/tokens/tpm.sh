# A TPM in software, with the merchant key in it: for scripts/with-tokens, which reads this file.
# Making it takes eight seconds, so what the TPM remembers is kept in target/.

tpm() {
  local module cache
  "$root/scripts/install" swtpm:swtpm tpm2_shutdown:tpm2-tools tpm2_ptool:libtpm2-pkcs11-tools \
    '/usr/lib/*/libtpm2_pkcs11.so.1:libtpm2-pkcs11-1' \
    '/usr/lib/*/libtss2-tcti-swtpm.so.0:libtss2-tcti-swtpm0' || {
    echo "scripts/with-tokens: no TPM: see above" >&2
    return 0
  }
  module=$(library libtpm2_pkcs11.so.1)
  # What is not its business: other stores of keys, and words on standard error.
  export TPM2_PKCS11_BACKEND=esysdb TSS2_LOG=all+NONE
  cache=$root/target/tokens/tpm-$( (swtpm --version && cat "$key" "$root"/scripts/tokens/{swtpm,new-tpm}) |
    sha256sum | cut -c 1-16)
  if [ ! -d "$cache" ] && ! "$root/scripts/tokens/new-tpm" "$cache" "$key" "$pin" >&2; then
    echo "scripts/with-tokens: no TPM: it cannot be set up" >&2
    return 0
  fi
  cp -R "$cache" "$work/tpm"
  "$root/scripts/tokens/swtpm" start "$work/tpm"
  WXPAY_TEST_TPM_FOLDER=$work/tpm
  TPM2_PKCS11_STORE=$work/tpm/store
  TPM2_PKCS11_TCTI=swtpm:host=127.0.0.1,port=$(cat "$work/tpm/port")
  export WXPAY_TEST_TPM=$module WXPAY_TEST_TPM_FOLDER TPM2_PKCS11_STORE TPM2_PKCS11_TCTI
}
