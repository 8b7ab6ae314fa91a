# Kryoptic, a token written in Rust. Sourced by scripts/with-tokens. Built once from its crate, into target/.

kryoptic() {
  local version=1.5.4
  local module=$root/target/tokens/kryoptic-$version/libkryoptic_pkcs11.so
  if [ ! -e "$module" ] && ! "$root/scripts/tokens/build-kryoptic" "$version" "$module" >&2; then
    echo "scripts/with-tokens: no kryoptic: it cannot be built" >&2
    return 0
  fi
  KRYOPTIC_CONF=$work/kryoptic.toml
  export KRYOPTIC_CONF
  printf '%s\n' '[[slots]]' 'slot = 1' 'dbtype = "sqlite"' "dbargs = \"$work/kryoptic.sql\"" >"$KRYOPTIC_CONF"
  local tool=(pkcs11-tool --module "$module")
  "${tool[@]}" --init-token --slot 1 --label kryoptic --so-pin 12345678 >/dev/null
  "${tool[@]}" --login --login-type so --so-pin 12345678 --init-pin --pin "$pin" >/dev/null 2>&1
  # By default it creates keys that may neither sign nor decrypt.
  "${tool[@]}" --login --pin "$pin" --write-object "$work/key.der" --type privkey --usage-sign \
    --usage-decrypt --label merchant --id 01 >/dev/null 2>&1
  export WXPAY_TEST_KRYOPTIC=$module
}
