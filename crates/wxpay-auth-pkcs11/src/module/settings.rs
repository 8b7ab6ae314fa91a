//! Hints about the settings of a module, for one that does not start or shows no token.

use std::path::Path;

/// Returns what to check in the settings of a module, by its file name.
pub(crate) fn hint(module: Option<&Path>) -> &'static str {
    let name = module.and_then(Path::file_name).unwrap_or_default();
    let name = name.to_string_lossy().to_lowercase();
    let known = HINTS.iter().find(|(part, _)| name.contains(part));
    known.map_or(GENERIC, |(_, hint)| hint)
}

const GENERIC: &str = "check the module's own settings (a file, or environment variables: see its manual): this process \
     must see them, and its user must be able to read that file and the files that it names";

/// A part of the file name, and what to check.
const HINTS: [(&str, &str); 7] = [
    (
        "softhsm",
        "check the settings of SoftHSM: this process must see SOFTHSM2_CONF, or there must be a softhsm2.conf \
         in /etc/softhsm or ~/.config/softhsm2; its user must be able to read that file, and to read and \
         write the folder of its directories.tokendir",
    ),
    (
        "kryoptic",
        "check the settings of Kryoptic: KRYOPTIC_CONF names its TOML file with [[slots]]; the user of \
         this process must be able to read it, and to read and write the database that it names",
    ),
    (
        "tpm2_pkcs11",
        "check the TPM and the settings of tpm2-pkcs11: TPM2_PKCS11_TCTI sets the connection to the \
         TPM, TPM2_PKCS11_STORE names the folder of its store; the user of this process must be able to \
         use both (usually by the group tss)",
    ),
    (
        "p11-kit-client",
        "check the server: P11_KIT_SERVER_ADDRESS, which this process must see, names the socket of \
         p11-kit server; it must be running, and the user of this process must be able to open its socket",
    ),
    (
        "p11-kit-proxy",
        "check the settings of p11-kit: a .module file in /etc/pkcs11/modules or ~/.config/pkcs11/modules names \
         the module behind it; the user of this process must be able to read both, and what that module \
         needs",
    ),
    (
        "opencryptoki",
        "check that pkcsslotd runs, that /etc/opencryptoki/opencryptoki.conf has the slot, and that the \
         user of this process is in the group pkcs11",
    ),
    (
        "softokn",
        "load NSS softokn through p11-kit: it needs arguments that name its database, which the user of \
         this process must be able to read and write",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_known_by_the_name_of_its_file() {
        for (path, setting) in [
            ("/usr/lib/softhsm/libsofthsm2.so", "SOFTHSM2_CONF"),
            ("/opt/libkryoptic_pkcs11.so", "KRYOPTIC_CONF"),
            ("/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1", "TPM2_PKCS11_STORE"),
            ("p11-kit-client.so", "P11_KIT_SERVER_ADDRESS"),
            ("/usr/lib/pkcs11/p11-kit-proxy.so", ".module"),
            ("/usr/lib/opencryptoki/libopencryptoki.so", "pkcsslotd"),
            ("libsoftokn3.so", "p11-kit"),
            ("/opt/softhsm/libmaker.so", "see its manual"),
        ] {
            let hint = hint(Some(Path::new(path)));
            assert!(hint.contains(setting), "{path}: {hint}");
            assert!(hint.contains("user of this process") || hint.contains("its user"), "{hint}");
        }
        assert_eq!(hint(None), GENERIC);
    }
}
