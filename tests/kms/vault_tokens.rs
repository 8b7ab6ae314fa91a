//! Logins and tokens of a signer on a key in OpenBao: renewed, replaced, refused.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use wxpay_auth::kms::{KmsError, KmsSigner, Secret, VaultAuth, VaultTransit};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_testing::SignerConformance;
use wxpay_tests::log::Log;
use wxpay_tests::openbao::{OpenBao, name, policy, variable};
use wxpay_tests::token::{certificate, reference};
use wxpay_tests::{chain, own_process};

type VaultSigner = KmsSigner<VaultTransit>;

const CALLERS: u32 = 8;

async fn connect(bao: &OpenBao, auth: VaultAuth) -> Result<VaultSigner, KmsError> {
    let vault = bao.backend("transit", "merchant").auth(auth).build()?;
    KmsSigner::builder(vault).certificate(certificate()).connect().await
}

fn signer_policy(bao: &OpenBao) -> String {
    bao.policy(&policy("transit", "merchant"))
}

/// A file that is deleted when the test ends.
struct File(PathBuf);

impl File {
    fn new(what: &str, content: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(name(&format!("wxpay-{what}")));
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self(path)
    }

    fn write(&self, content: &str) {
        std::fs::write(&self.0, content).unwrap();
    }

    fn secret(&self) -> Secret {
        Secret::file(&self.0)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Signs repeatedly for this time, and returns the number of signatures.
async fn signs_for(signer: &VaultSigner, time: Duration) -> usize {
    let (begin, mut signed) = (std::time::Instant::now(), 0);
    while begin.elapsed() < time {
        signer.sign(b"message").await.unwrap_or_else(|e| panic!("{signed}: {}", chain(&e)));
        signed += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    signed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenBao: run scripts/test"]
async fn no_signature_fails_when_the_token_of_an_app_role_is_revoked() {
    let bao = OpenBao::shared();
    let (mount, role_id, secret_id) = bao.app_role(&signer_policy(&bao), &["token_ttl=1h"]);
    let auth = VaultAuth::app_role(role_id, Secret::new(secret_id)).mount(&mount);
    let signer = connect(&bao, auth).await.unwrap();
    let (signed, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let signing: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (signer, signed, stop) = (signer.clone(), Arc::clone(&signed), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let message = signed.fetch_add(1, Ordering::SeqCst).to_be_bytes();
                    signer.sign(&message).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
                }
            })
        })
        .collect();
    // A token revoked before its first use is treated as one without permissions. After this many signatures,
    // some caller has completed one that began with the previous token.
    let signs_on = async || {
        let begin = signed.load(Ordering::SeqCst);
        while signed.load(Ordering::SeqCst) < begin + 3 * CALLERS
            && !signing.iter().any(JoinHandle::is_finished)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    for _ in 0..2 {
        signs_on().await;
        let mount = mount.clone();
        tokio::task::spawn_blocking(move || OpenBao::shared().revoke_all(&mount)).await.unwrap();
    }
    signs_on().await;
    stop.store(true, Ordering::SeqCst);
    for task in signing {
        task.await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_token_is_renewed_as_long_as_it_can_be() {
    let bao = OpenBao::shared();
    let settings = ["token_ttl=2s", "token_num_uses=0"];
    let (mount, role_id, secret_id) = bao.app_role(&signer_policy(&bao), &settings);
    // This login works once: only renewal helps.
    bao.run(&["write", &format!("auth/{mount}/role/signer"), "secret_id_num_uses=1"]);
    let once = bao.run(&[
        "write",
        "-f",
        "-field=secret_id",
        &format!("auth/{mount}/role/signer/secret-id"),
    ]);
    drop(secret_id);
    let auth = VaultAuth::app_role(role_id, Secret::new(once)).mount(&mount);
    let signer = connect(&bao, auth).await.unwrap();
    assert!(signs_for(&signer, Duration::from_secs(7)).await > 1);
    // Also while no signatures are made.
    tokio::time::sleep(Duration::from_secs(5)).await;
    signer.sign(b"message").await.unwrap();
}

/// Each request uses up one.
#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_token_whose_uses_are_used_up_is_replaced_by_a_login() {
    let bao = OpenBao::shared();
    let settings = ["token_ttl=1h", "token_num_uses=3"];
    let (mount, role_id, secret_id) = bao.app_role(&signer_policy(&bao), &settings);
    let auth = VaultAuth::app_role(role_id, Secret::new(secret_id)).mount(&mount);
    let signer = connect(&bao, auth).await.unwrap();
    for i in 0..10_u8 {
        signer.sign(&[i]).await.unwrap_or_else(|e| panic!("{i}: {}", chain(&e)));
    }
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_given_token_is_renewed() {
    let bao = OpenBao::shared();
    let token = bao.token(&signer_policy(&bao), &["-ttl=3s"]);
    let signer = connect(&bao, VaultAuth::token(Secret::new(token))).await.unwrap();
    assert!(signs_for(&signer, Duration::from_secs(8)).await > 1);
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn at_its_maximum_a_token_is_replaced_by_a_login() {
    let bao = OpenBao::shared();
    let settings = ["token_ttl=2s", "token_max_ttl=3s"];
    let (mount, role_id, secret_id) = bao.app_role(&signer_policy(&bao), &settings);
    let auth = VaultAuth::app_role(role_id, Secret::new(secret_id)).mount(&mount);
    let signer = connect(&bao, auth).await.unwrap();
    assert!(signs_for(&signer, Duration::from_secs(10)).await > 1);
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_batch_token_is_replaced_by_a_login() {
    let bao = OpenBao::shared();
    let settings = ["token_ttl=2s", "token_type=batch"];
    let (mount, role_id, secret_id) = bao.app_role(&signer_policy(&bao), &settings);
    let auth = VaultAuth::app_role(role_id, Secret::new(secret_id)).mount(&mount);
    let signer = connect(&bao, auth).await.unwrap();
    assert!(signs_for(&signer, Duration::from_secs(6)).await > 1);
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_token_in_a_file_is_read_again_when_it_is_refused_and_when_it_ends() {
    let bao = OpenBao::shared();
    let allowed = signer_policy(&bao);
    let first = bao.token(&allowed, &[]);
    let file = File::new("token", &format!("{first}\n"));
    let signer = connect(&bao, VaultAuth::token(file.secret())).await.unwrap();

    // Refused, and the file contains no other token.
    bao.run(&["token", "revoke", &first]);
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::PermissionDenied);
    // Refused, and the file contains another token.
    file.write(&bao.token(&allowed, &["-ttl=2s", "-explicit-max-ttl=2s"]));
    signer.sign(b"message").await.unwrap();
    // The token expires, and the agent has written the next one.
    file.write(&bao.token(&allowed, &[]));
    assert!(signs_for(&signer, Duration::from_secs(4)).await > 1);
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_pod_logs_in_with_its_service_account() {
    let bao = OpenBao::shared();
    let jwt = std::fs::read_to_string(variable("WXPAY_TEST_KUBERNETES_JWT")).unwrap();
    let file = File::new("jwt", &jwt);
    let auth = VaultAuth::kubernetes("wxpay").jwt(&file.0);
    let signer = connect(&bao, auth.clone()).await.unwrap();
    SignerConformance::new(reference().public_key().clone(), certificate().serial_no().clone())
        .reference(reference())
        .callers(8)
        .check(Arc::new(signer))
        .await
        .unwrap();

    for other in ["WXPAY_TEST_KUBERNETES_INTRUDER_JWT", "WXPAY_TEST_KUBERNETES_EXPIRED_JWT"] {
        let other = std::fs::read_to_string(variable(other)).unwrap();
        file.write(&other);
        let error = connect(&bao, auth.clone()).await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::PermissionDenied, "{}", chain(&error));
        assert!(error.hint().contains("service account"), "{}", error.hint());
        assert!(!format!("{} {error:?}", chain(&error)).contains(other.trim()));
    }
    let error = connect(&bao, VaultAuth::kubernetes("nobody").jwt(&file.0)).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::PermissionDenied, "{}", chain(&error));
    let elsewhere = VaultAuth::kubernetes("wxpay").mount("k8s").jwt(&file.0);
    let error = connect(&bao, elsewhere).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::PermissionDenied, "{}", chain(&error));
    assert!(error.hint().contains("mount of the login"), "{}", error.hint());
    let error = connect(&bao, VaultAuth::kubernetes("wxpay").jwt("/nowhere")).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn wrong_logins_are_refused() {
    let bao = OpenBao::shared();
    let (mount, role_id, secret_id) = bao.app_role(&signer_policy(&bao), &[]);
    for (role_id, secret_id) in [(role_id.as_str(), "wrong"), ("wrong", secret_id.as_str())] {
        let auth = VaultAuth::app_role(role_id, Secret::new(secret_id)).mount(&mount);
        let error = connect(&bao, auth).await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::PermissionDenied, "{}", chain(&error));
        assert!(error.hint().contains("role_id and secret_id"), "{}", error.hint());
    }
    let error = connect(&bao, VaultAuth::token(Secret::new("wrong"))).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::PermissionDenied, "{}", chain(&error));
    for empty_or_odd in ["", "a\nb", "令牌"] {
        let error = connect(&bao, VaultAuth::token(Secret::new(empty_or_odd))).await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    }
    let error = KmsSigner::builder(bao.backend("transit", "merchant").build().unwrap());
    assert!(error.connect().await.unwrap_err().to_string().contains("no merchant certificate"));
}

/// The service refuses valid credentials as well after five failed logins.
#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_role_that_is_locked_out_says_so() {
    let bao = OpenBao::shared();
    let (mount, role_id, secret_id) = bao.app_role(&signer_policy(&bao), &[]);
    let auth =
        |secret_id: &str| VaultAuth::app_role(&role_id, Secret::new(secret_id)).mount(&mount);
    for _ in 0..5 {
        // Each service is a newly started process.
        connect(&bao, auth("wrong")).await.unwrap_err();
    }
    let error = connect(&bao, auth(&secret_id)).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::PermissionDenied, "{}", chain(&error));
    assert!(error.hint().contains("lock the role out"), "{}", error.hint());
}

/// Not even in the most verbose log, during logins and renewals.
#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn nothing_shows_a_secret() {
    own_process!();
    let log = Log::of_process();

    let bao = OpenBao::shared();
    let allowed = signer_policy(&bao);
    let (mount, role_id, secret_id) = bao.app_role(&allowed, &["token_ttl=2s"]);
    let app_role = VaultAuth::app_role(role_id, Secret::new(&secret_id)).mount(&mount);
    let token = bao.token(&allowed, &["-ttl=1m"]);
    let given = VaultAuth::token(Secret::new(&token));
    let jwt_file = variable("WXPAY_TEST_KUBERNETES_JWT");
    let kubernetes = VaultAuth::kubernetes("wxpay").jwt(&jwt_file);
    let jwt = std::fs::read_to_string(jwt_file).unwrap();

    let mut shown = Vec::new();
    for auth in [app_role, given, kubernetes] {
        shown.push(format!("{auth:?}"));
        let signer = connect(&bao, auth).await.unwrap();
        signs_for(&signer, Duration::from_secs(3)).await;
        shown.push(format!("{signer:?}"));
    }
    bao.run(&["token", "revoke", &token]);
    let error = connect(&bao, VaultAuth::token(Secret::new(&token))).await.unwrap_err();
    shown.push(format!("{error:?} {}", chain(&error)));
    let logged = log.text();
    assert!(logged.contains("logged in to vault"), "{logged}");
    assert!(logged.contains("the token of vault was renewed"), "{logged}");
    shown.push(logged);
    for shown in shown {
        // OpenBao tokens begin with these prefixes, wherever they come from.
        for secret in [&secret_id, &token, jwt.trim(), "s.", "hvs."] {
            let found = shown.match_indices(secret).any(|(at, _)| {
                let rest = &shown[at + secret.len()..];
                secret.len() > 4
                    || rest.chars().take_while(char::is_ascii_alphanumeric).count() > 20
            });
            assert!(!found, "{secret}: {shown}");
        }
    }
}
