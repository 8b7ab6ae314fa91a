//! The examples with a key in an HSM or a key service.

use std::process::Command;

use wxpay_auth::Certificate;
use wxpay_testing::{WechatPay, WireServer};
use wxpay_tests::kms_service::KmsService;

use super::program::{Keys, ended, example, live, run};

#[test]
#[ignore = "needs SoftHSM: run scripts/test"]
fn with_a_key_in_an_hsm() {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("run scripts/test"));
    let uri = format!(
        "pkcs11:token=main;object=merchant?module-path={}&pin-value={}",
        variable("WXPAY_TEST_SOFTHSM"),
        variable("WXPAY_TEST_PIN"),
    );
    let (stdout, last, code) = ended(&example("hsm").arg(&uri).output().unwrap());
    assert_eq!(code, 0, "{stdout}");
    assert!(last.starts_with("terminated 12000, signed as 5F"), "{stdout}");

    let output = example("hsm").arg(uri.replace("merchant", "nobody")).output().unwrap();
    assert_eq!(ended(&output).2, 1);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("check object and id"), "{stderr}");
    assert!(!stderr.contains("pin"), "{stderr}");
}

#[test]
#[ignore = "needs OpenBao: run scripts/test"]
fn with_a_key_in_vault() {
    let file = std::env::temp_dir().join(format!("wxpay-vault-token-{}", std::process::id()));
    let address = wxpay_tests::openbao::variable("WXPAY_TEST_VAULT_ADDR");
    let token = wxpay_tests::openbao::variable("WXPAY_TEST_VAULT_TOKEN");
    std::fs::write(&file, &token).unwrap();
    let run = |key: &str| example("kms_vault").args([&address, key]).arg(&file).output().unwrap();
    let (stdout, last, code) = ended(&run("merchant"));
    assert_eq!(code, 0, "{stdout}");
    assert!(last.starts_with("terminated 12000, signed as 5F"), "{stdout}");

    let output = run("nobody");
    assert_eq!(ended(&output).2, 1);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("check the names of mount, key"), "{stderr}");
    assert!(!stderr.contains(&token), "{stderr}");
    std::fs::remove_file(file).unwrap();
}

#[test]
#[ignore = "needs SoftHSM: run scripts/test"]
fn with_a_key_that_is_born_in_an_hsm() {
    let mut command = example("hsm_born_key");
    // It creates its own settings.
    command.env_remove("SOFTHSM2_CONF");
    let (stdout, last, code) = ended(&command.output().unwrap());
    assert_eq!(code, 0, "{stdout}");
    let serial_no = stdout.lines().find_map(|line| line.trim().strip_prefix("serial_no: "));
    let serial_no = serial_no.expect("the serial");
    assert_eq!(serial_no.len(), 40, "{stdout}");
    assert_eq!(last, format!("   plan 12000: terminated, signed as {serial_no}"), "{stdout}");
    assert!(stdout.contains("pkcs11:token=wxpay;object=merchant;id=%"), "{stdout}");

    let mut without = example("hsm_born_key");
    let (_, _, code) = ended(&without.env("PATH", "/nowhere").output().unwrap());
    assert_eq!(code, 4);
}

/// Runs the example of a cloud against the double of its key service; the access key is in the environment.
fn on_a_double(name: &str, double: &KmsService, arguments: &[&str], variables: [&str; 3]) {
    let access_key = ["id", "secret", "token"]
        .map(|field| double.text(&format!("/credentials/temporary/{field}")).to_owned());
    let mut command = example(name);
    command.args(arguments).envs(variables.into_iter().zip(access_key));
    let output = command.output().expect("a program");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let (stdout, last, code) = ended(&output);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(last.starts_with("terminated 12000, signed as "), "{stdout}{stderr}");
    let output = command.env_remove(variables[1]).output().expect("a program");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(variables[1]) && !output.status.success(), "{stderr}");
}

#[test]
#[ignore = "needs Python: run scripts/test"]
fn kms_tencent() {
    let double = KmsService::start("tencent.py", &[]);
    let arguments = [double.text("/region"), double.text("/keys/born"), double.url()];
    let variables = ["TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN"];
    on_a_double("kms_tencent", &double, &arguments, variables);
}

#[test]
#[ignore = "needs Python: run scripts/test"]
fn kms_alibaba() {
    let double = KmsService::start("alibaba.py", &[]);
    let (key, version) = (double.text("/keys/born"), double.text("/versions/born/0"));
    let variables = [
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_SECURITY_TOKEN",
    ];
    let arguments = [double.text("/region"), key, version, double.url()];
    on_a_double("kms_alibaba", &double, &arguments, variables);
}

/// The environment variables that AWS tools read.
fn aws(double: &KmsService) -> [(&'static str, String); 5] {
    [
        ("AWS_ACCESS_KEY_ID", double.text("/credentials/static/id").to_owned()),
        ("AWS_SECRET_ACCESS_KEY", double.text("/credentials/static/secret").to_owned()),
        ("AWS_REGION", double.text("/region").to_owned()),
        ("AWS_ENDPOINT_URL", double.url().to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

#[test]
#[ignore = "needs Python: run scripts/test"]
fn kms_aws() {
    let double = KmsService::start("moto_kms.py", &[]);
    let run = |key: &str| example("kms_aws").arg(key).envs(aws(&double)).output().unwrap();
    let (stdout, last, code) = ended(&run(double.text("/keys/merchant")));
    assert_eq!(code, 0, "{stdout}");
    assert!(last.starts_with("terminated 12000, signed as 5F"), "{stdout}");

    let output = run("alias/nobody");
    assert_eq!(ended(&output).2, 1);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("check the key id, the alias"), "{stderr}");
}

/// `WXPAY_SIGNER` takes the address of a key in a file, in a token, or in any key service.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM, OpenBao and Python: run scripts/test"]
async fn the_signer_is_chosen_by_its_address() {
    let server = WireServer::start_plain().await;
    let keys = Keys::write(&server, "addresses");
    let [tencent, alibaba, moto] =
        ["tencent.py", "alibaba.py", "moto_kms.py"].map(|program| KmsService::start(program, &[]));
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("run scripts/test"));
    let certificate = keys.path("apiclient_cert.pem");
    std::fs::write(&certificate, server.merchant_certificate_pem()).unwrap();
    let addresses = [
        format!("file:{}", keys.path("apiclient_key.pem").display()),
        format!(
            "pkcs11:token=main;object=merchant?module-path={}&pin-value={}",
            variable("WXPAY_TEST_SOFTHSM"),
            variable("WXPAY_TEST_PIN"),
        ),
        format!("vault:merchant?address={}", variable("WXPAY_TEST_VAULT_ADDR")),
        format!(
            "tencent-kms:{}?region={}&endpoint={}",
            tencent.text("/keys/merchant"),
            tencent.text("/region"),
            tencent.url()
        ),
        format!(
            "alibaba-kms:{}?key_version_id={}&region={}&endpoint={}&role=&metadata={}",
            alibaba.text("/keys/merchant"),
            alibaba.text("/versions/merchant/0"),
            alibaba.text("/region"),
            alibaba.url(),
            alibaba.text("/metadata_url"),
        ),
        format!("aws-kms:{}", moto.text("/keys/merchant")),
    ];
    let logged_in = |mut command: Command| {
        command
            .env("VAULT_TOKEN", variable("WXPAY_TEST_VAULT_TOKEN"))
            .env("TENCENTCLOUD_SECRET_ID", tencent.text("/credentials/static/id"))
            .env("TENCENTCLOUD_SECRET_KEY", tencent.text("/credentials/static/secret"))
            .envs(aws(&moto));
        command
    };
    let live = |address: &str| {
        let mut command = logged_in(live(&server, &keys));
        command
            .args(["--timeout", "60"])
            .env_remove("WXPAY_PRIVATE_KEY")
            .env("WXPAY_SIGNER", address);
        command
    };
    let wechat_pay = WechatPay::builder().build();
    let key = wxpay_tests::token::reference();
    for address in addresses {
        // Before there is a certificate, a request for one can be made.
        let mut request = logged_in(example("certificate_request"));
        request.args([&address, server.mchid().as_str()]);
        let (pem, last, code) = run(request).await;
        assert_eq!((last.as_str(), code), ("-----END CERTIFICATE REQUEST-----", 0), "{address}");
        let issued =
            wechat_pay.issue_certificate(&pem).unwrap_or_else(|e| panic!("{address}: {e}"));
        Certificate::from_pem(&issued).unwrap().require_key(key.public_key()).unwrap();

        let joint = if address.contains('?') { '&' } else { '?' };
        let with_certificate = format!("{address}{joint}certificate={}", certificate.display());
        let mut without_serial = live(&with_certificate);
        without_serial.env_remove("WXPAY_SERIAL_NO");
        for command in [live(&address), without_serial] {
            server.add_plan(wxpay_testing::Plan::new("12000", "1004"));
            let (stdout, last, code) = run(command).await;
            assert_eq!((last.as_str(), code), ("outcome: terminated", 0), "{address}: {stdout}");
        }
    }
    let (stdout, _, code) = run(live("vault:nobody")).await;
    assert_eq!(code, 4, "{stdout}");
}

/// Only the signer retries, and reports the refusal: one request per attempt.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python: run scripts/test"]
async fn aws_is_asked_once_for_each_attempt() {
    let server = WireServer::start_plain().await;
    let keys = Keys::write(&server, "attempts");
    let moto = KmsService::start("moto_kms.py", &[]);
    let mut command = live(&server, &keys);
    command
        .env_remove("WXPAY_PRIVATE_KEY")
        .env("WXPAY_SIGNER", format!("aws-kms:{}", moto.text("/keys/merchant")))
        .envs(aws(&moto));
    let code = "KMSInternalException";
    moto.fault(serde_json::json!({
        "kind": "error", "code": code, "status": 500, "action": "Sign", "times": -1,
    }));
    let output = tokio::task::spawn_blocking(move || command.output().expect("a program"));
    let output = output.await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains(code), "{stderr}");
    assert_eq!(moto.calls("Sign").len(), 4, "{:?}", moto.journal());
    assert!(server.journal().is_empty());
}
