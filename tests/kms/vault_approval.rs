//! Signatures that require approval: OpenBao control groups.

use wxpay_auth::kms::{KmsSigner, Secret, VaultAuth, VaultTransit};
use wxpay_auth::{SignErrorKind, Signer};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::Gateway;
use wxpay_tests::log::Log;
use wxpay_tests::openbao::{OpenBao, name};
use wxpay_tests::token::{certificate, reference};
use wxpay_tests::{chain, own_process, plan_id};
use wxpay_transport::{BaseUrl, Client, Outcome, Proxy};

/// The approvers, and a policy whose signatures they must approve.
struct ControlGroup {
    bao: OpenBao,
    approver: String,
    policy: String,
}

impl ControlGroup {
    fn new() -> Self {
        Self::with("1h", "")
    }

    /// Adds more rules to the policy.
    fn with(ttl: &str, rules: &str) -> Self {
        let bao = OpenBao::shared();
        let (mount, alice, group) = (name("userpass"), name("alice"), name("approvers"));
        let approve =
            bao.policy(r#"path "sys/control-group/authorize" { capabilities = ["update"] }"#);
        bao.run(&["auth", "enable", &format!("-path={mount}"), "userpass"]);
        let user = format!("auth/{mount}/users/{alice}");
        bao.run(&["write", &user, "password=pw", &format!("token_policies={approve}")]);
        let entity = bao.run(&["write", "-field=id", "identity/entity", &format!("name={alice}")]);
        let auth = bao.run(&["read", "-field=accessor", &format!("sys/auth/{mount}")]);
        bao.run(&[
            "write",
            "identity/entity-alias",
            &format!("name={alice}"),
            &format!("canonical_id={entity}"),
            &format!("mount_accessor={auth}"),
        ]);
        let member = format!("member_entity_ids={entity}");
        bao.run(&["write", "identity/group", &format!("name={group}"), &member]);
        let login = format!("auth/{mount}/login/{alice}");
        let approver = bao.run(&["write", "-field=token", &login, "password=pw"]);
        let policy = bao.policy(&format!(
            r#"path "transit/keys/merchant" {{ capabilities = ["read"] }}
path "transit/sign/merchant/sha2-256" {{
  capabilities = ["update"]
  control_group = {{
    ttl = "{ttl}"
    factor "payments" {{
      controlled_capabilities = ["update"]
      identity {{
        group_names = ["{group}"]
        approvals = 1
      }}
    }}
  }}
}}
{rules}"#
        ));
        Self { bao, approver, policy }
    }

    fn vault(&self) -> VaultTransit {
        self.vault_with(self.bao.token(&self.policy, &[]))
    }

    fn vault_with(&self, token: String) -> VaultTransit {
        let token = Secret::new(token);
        let vault = self.bao.backend("transit", "merchant").auth(VaultAuth::token(token));
        vault.build().unwrap()
    }

    fn approve(&self, accessor: &str) {
        let accessor = format!("accessor={accessor}");
        let approve = ["write", "sys/control-group/authorize", &accessor];
        assert!(self.bao.allows(&self.approver, &approve), "{accessor} is approved");
    }

    /// Connects a signer that does not wait for approval, after its probe signature has been approved.
    async fn connect(&self, vault: &VaultTransit) -> KmsSigner<VaultTransit> {
        let builder = || KmsSigner::builder(vault.clone()).certificate(certificate()).attempts(1);
        let error = builder().connect().await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::ApprovalPending, "{}", chain(&error));
        self.approve(error.approval_id().unwrap());
        builder().connect().await.unwrap_or_else(|e| panic!("{}", chain(&e)))
    }
}

/// Allows reading the status of a request.
const MAY_ASK: &str = r#"path "sys/control-group/request" { capabilities = ["update"] }"#;

/// Checks that no token is shown. OpenBao tokens begin with `s.`.
fn assert_no_token(shown: &str) {
    let after = shown.split("s.").skip(1);
    let longest = after.map(|s| s.chars().take_while(char::is_ascii_alphanumeric).count()).max();
    assert!(longest.unwrap_or(0) < 20, "{shown}");
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_signature_is_had_once_it_is_approved() {
    own_process!();
    let log = Log::of_process();
    let group = ControlGroup::new();
    let vault = group.vault();
    let signer = group.connect(&vault).await;

    let pending = signer.sign(b"message").await.unwrap_err();
    assert_eq!(pending.kind(), SignErrorKind::ApprovalPending);
    assert!(!pending.kind().is_transient(), "a retry would request another approval");
    let accessor = pending.approval_id().unwrap();
    assert!(pending.to_string().contains(accessor), "{pending}");
    assert!(pending.hint().contains("sys/control-group/authorize"), "{}", pending.hint());
    // Until then the request stays the same, and another message is another request.
    let again = signer.sign(b"message").await.unwrap_err();
    assert_eq!(again.approval_id(), Some(accessor));
    let other = signer.sign(b"another message").await.unwrap_err();
    assert_ne!(other.approval_id(), Some(accessor));

    group.approve(accessor);
    let signature = signer.sign(b"message").await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(signature.as_bytes(), reference().sign(b"message").unwrap());
    // An approval can be used only once.
    let anew = signer.sign(b"message").await.unwrap_err();
    assert_ne!(anew.approval_id(), Some(accessor));
    let still = signer.sign(b"another message").await.unwrap_err();
    assert_eq!(still.approval_id(), other.approval_id());

    for error in [&pending, &again, &other, &anew] {
        assert_no_token(&format!("{error} {error:?} {error:#?} {}", chain(error)));
    }
    assert_no_token(&format!("{vault:?} {signer:?}"));
    assert!(log.text().contains(accessor), "{}", log.text());
    assert_no_token(&log.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenBao: run scripts/test"]
async fn an_approval_is_waited_for() {
    let group = ControlGroup::new();
    let vault = group.vault();
    let impatient = group.connect(&vault).await;
    let accessor = impatient.sign(b"message").await.unwrap_err().approval_id().unwrap().to_owned();
    // Each connecting signer requests a new probe signature.
    let check = KmsSigner::builder(vault.clone()).certificate(certificate()).attempts(1);
    let check = check.connect().await.unwrap_err().approval_id().unwrap().to_owned();
    let patient = tokio::spawn(async move {
        let signer = KmsSigner::builder(vault).certificate(certificate()).connect().await?;
        signer.sign(b"message").await.map_err(wxpay_auth::Error::from)
    });
    group.approve(&check);
    group.approve(&accessor);
    let signature =
        patient.await.unwrap().unwrap_or_else(|e: wxpay_auth::Error| panic!("{}", chain(&e)));
    assert_eq!(signature.as_bytes(), reference().sign(b"message").unwrap());
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_call_whose_signature_is_not_approved_is_not_sent() {
    let (group, gateway) = (ControlGroup::new(), Gateway::start().await);
    let signer = group.connect(&group.vault()).await;
    let client = Client::builder(gateway.mchid(), signer, gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .build()
        .unwrap();
    let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!(
        (error.outcome(), error.may_retry()),
        (Outcome::NotSent, false),
        "{}",
        chain(&error)
    );
    assert!(chain(&error).contains("approval-id"), "{}", chain(&error));
    assert_eq!(gateway.executions(), 0);
}

/// The result of a revoked request can never be fetched. OpenBao reports this only to tokens that may read
/// the status.
#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_request_that_the_server_has_lost_is_told_where_it_may_be_asked() {
    for rules in ["", MAY_ASK] {
        let group = ControlGroup::with("1h", rules);
        let signer = group.connect(&group.vault()).await;
        let accessor = signer.sign(b"message").await.unwrap_err().approval_id().unwrap().to_owned();
        let again = signer.sign(b"message").await.unwrap_err();
        assert_eq!(again.approval_id(), Some(accessor.as_str()));
        group.bao.run(&["token", "revoke", "-accessor", &accessor]);
        let error = signer.sign(b"message").await.unwrap_err();
        assert_eq!(error.approval_id(), Some(accessor.as_str()), "{}", chain(&error));
        if rules.is_empty() {
            assert_eq!(error.kind(), SignErrorKind::ApprovalPending, "{}", chain(&error));
            assert!(error.hint().contains("sys/control-group/request"), "{}", error.hint());
            continue;
        }
        assert_eq!(error.kind(), SignErrorKind::Other, "{}", chain(&error));
        assert!(chain(&error).contains("lost"), "{}", chain(&error));
        let anew = signer.sign(b"message").await.unwrap_err();
        assert_eq!(anew.kind(), SignErrorKind::ApprovalPending, "{}", chain(&anew));
        assert_ne!(anew.approval_id(), Some(accessor.as_str()));
        group.approve(anew.approval_id().unwrap());
        let signature = signer.sign(b"message").await.unwrap_or_else(|e| panic!("{}", chain(&e)));
        assert_eq!(signature.as_bytes(), reference().sign(b"message").unwrap());
    }
}

/// A request ends with the token that made it, even if it was approved.
#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_request_of_a_token_that_was_revoked_is_lost() {
    let group = ControlGroup::new();
    let token = group.bao.token(&group.policy, &[]);
    let vault = group.vault_with(token.clone());
    let signer = group.connect(&vault).await;
    let pending = signer.sign(b"message").await.unwrap_err();
    group.approve(pending.approval_id().unwrap());
    group.bao.run(&["token", "revoke", &token]);
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.approval_id(), pending.approval_id(), "{}", chain(&error));
    assert_eq!(error.kind(), SignErrorKind::Other, "{}", chain(&error));
    let error = signer.sign(b"message").await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::PermissionDenied, "{}", chain(&error));
}

#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn the_same_message_at_once_is_one_request() {
    let group = ControlGroup::with("1h", MAY_ASK);
    let signer = group.connect(&group.vault()).await;
    let (one, two) = tokio::join!(signer.sign(b"message"), signer.sign(b"message"));
    let (one, two) = (one.unwrap_err(), two.unwrap_err());
    assert_eq!(one.kind(), SignErrorKind::ApprovalPending, "{}", chain(&one));
    assert!(one.approval_id().is_some());
    assert_eq!(one.approval_id(), two.approval_id());
    group.approve(one.approval_id().unwrap());
    let (one, two) = tokio::join!(signer.sign(b"message"), signer.sign(b"message"));
    for signature in [one, two] {
        let signature = signature.unwrap_or_else(|e| panic!("{}", chain(&e)));
        assert_eq!(signature.as_bytes(), reference().sign(b"message").unwrap());
    }
}

/// In this case the server does nothing, and reports success.
#[tokio::test]
#[ignore = "needs OpenBao: run scripts/test"]
async fn a_control_group_without_a_time_is_named() {
    let group = ControlGroup::with("0", "");
    let signer = KmsSigner::builder(group.vault()).certificate(certificate()).attempts(1);
    let error = signer.connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration, "{}", chain(&error));
    assert!(error.hint().contains("ttl of 0"), "{}", error.hint());
}
