//! A cluster of OpenBao that loses its active node.

use wxpay_auth::kms::{KmsBackend, KmsSigner, Secret, VaultAuth, VaultTransit};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_tests::chain;
use wxpay_tests::openbao::{OpenBao, policy};
use wxpay_tests::openbao_cluster::Cluster;

/// Returns whether a node is on standby.
fn stands_by(node: &OpenBao) -> bool {
    let leader = node.run(&["read", "-format=json", "sys/leader"]);
    assert!(leader.contains(r#""is_self""#), "{leader}");
    leader.contains(r#""is_self": false"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_standby_signs_by_itself_and_goes_on_when_the_active_node_is_lost() {
    let mut cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let standby = &cluster.second;
    assert!(stands_by(standby) && !stands_by(&cluster.first));
    let mount = standby.transit("merchant");
    let (login, role_id, secret_id) =
        standby.app_role(&standby.policy(&policy(&mount, "merchant")), &[]);
    // What was written on the active node reaches this one a little later.
    tokio::task::block_in_place(|| {
        let (role, secret) = (format!("role_id={role_id}"), format!("secret_id={secret_id}"));
        standby.wait_for(&["write", &format!("auth/{login}/login"), &role, &secret]);
    });
    let vault = || -> VaultTransit {
        let auth = VaultAuth::app_role(&role_id, Secret::new(&secret_id)).mount(&login);
        standby.backend(&mount, "merchant").auth(auth).build().unwrap()
    };
    let builder = || KmsSigner::builder(vault()).without_certificate().attempts(1);

    // The standby forwards the login to the active node.
    let signer = builder().connect().await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    let before = signer.sign(b"message").await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    // It forwards a rotation as well, which does not affect a connected signer.
    standby.run(&["write", "-f", &format!("{mount}/keys/merchant/rotate")]);
    assert_eq!(signer.sign(b"message").await.unwrap().as_bytes(), before.as_bytes());

    cluster.first.stop();
    for number in 0..20_u8 {
        signer.sign(&[number]).await.unwrap_or_else(|e| panic!("{number}: {}", chain(&e)));
    }
    assert_eq!(signer.sign(b"message").await.unwrap().as_bytes(), before.as_bytes());
    // It can also read the public key and look up tokens.
    let reading = standby.backend(&mount, "merchant").build().unwrap();
    let key = reading.public_key().await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(key.version(), Some("2"));
    assert!(stands_by(standby), "without a majority");
    // Without an active node, it cannot log in.
    let error = builder().connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("vault answered 307"), "{}", chain(&error));
    assert!(error.hint().contains("standby"), "{}", error.hint());

    tokio::task::block_in_place(|| {
        cluster.restart_first();
        // Forwarded again.
        cluster.second.wait_for(&["write", "-f", &format!("{mount}/keys/merchant/rotate")]);
    });
    assert_eq!(signer.sign(b"message").await.unwrap().as_bytes(), before.as_bytes());
}
