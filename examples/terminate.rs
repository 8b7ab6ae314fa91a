//! Terminates a delivery plan (终止投放计划).
//!
//! ```sh
//! cargo run -p wxpay-examples --example terminate -- 12000          # on a gateway inside this program
//! cargo run -p wxpay-examples --example terminate -- --live --brand 1004 12000   # on WeChat Pay, or on WXPAY_BASE_URL
//! ```
//!
//! The last line is `outcome: terminated | rejected | not_sent | unknown`; the exit code is 0, 1, 2 or
//! 3, respectively, and 4 for wrong usage or configuration. With `--brand` it may also be `already_ended`, with 0: the
//! plan ended by other means while it was terminated.

use std::error::Error as StdError;
use std::process::ExitCode;
use std::time::Duration;

use wxpay_auth::BrandId;
use wxpay_marketing::{
    DeliveryPlans, Error, Plan, PlanId, TerminateExpectation, TerminateOutcome, Terminated,
};
use wxpay_testing::Gateway;
use wxpay_transport::{BaseUrl, Client, ClientSettings, Outcome, Transport};

const USAGE: &str = "\
usage: terminate [--live --brand BRAND_ID | --live --yes] [--timeout SECONDS] [--verbose] PLAN_ID

Terminates a delivery plan. Without --live it does so on a gateway inside this program, which has the
plans 12000, 12001 and 12002.

  --live             talk to WeChat Pay, or to WXPAY_BASE_URL. This cannot be undone. It needs
                       WXPAY_MCHID          the merchant number of the service provider
                       WXPAY_SERIAL_NO      the serial of its API certificate
                       WXPAY_PRIVATE_KEY    the path of apiclient_key.pem, or in its place, not both,
                       WXPAY_SIGNER         the address of the signer: file:…, pkcs11:…, vault:…,
                                            tencent-kms:…, alibaba-kms:…, aws-kms:… It may name the
                                            certificate (certificate=PATH) in place of the serial.
                       WXPAY_PUBLIC_KEY_ID  PUB_KEY_ID_…
                       WXPAY_PUBLIC_KEY     the path of pub_key.pem
  --brand BRAND_ID   the brand of the plan, with --live: the plan is looked up and shown, and terminated
                     only if its id is then typed once more, and name and coupon are still the same; its
                     end is confirmed by reading
  --yes              neither look nor ask, with --live: for programs that have looked
  --timeout SECONDS  how long the call may take, and with --brand the confirmation, 15 by default
  --verbose          show what the library logs, on standard error
  --help             show this

The last line is `outcome: terminated | rejected | not_sent | unknown`, and the exit code 0, 1, 2 or 3
in that order; 4 stands for wrong usage or configuration. With --brand it may also be `already_ended`,
with 0: the plan ended by other means while it was terminated.";

/// Wrong usage or configuration: what is wrong, and a hint.
struct Misuse(String, String);

#[derive(Default)]
struct Arguments {
    live: bool,
    brand: Option<BrandId>,
    yes: bool,
    verbose: bool,
    timeout: Option<Duration>,
    plan_id: Option<PlanId>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match arguments() {
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Ok(Some(arguments)) => run(arguments).await,
        Err(misuse) => Err(misuse),
    };
    match ended {
        Ok(outcome) => outcome,
        Err(Misuse(what, hint)) => {
            eprintln!("error: {what}\nhint: {hint}");
            ExitCode::from(4)
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Misuse> {
    if arguments.verbose {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_writer(std::io::stderr)
            .init();
    }
    let timeout = arguments.timeout.unwrap_or(Duration::from_secs(15));
    let plan_id = arguments.plan_id.ok_or_else(|| usage("there is no PLAN_ID"))?;
    let ways = usize::from(arguments.brand.is_some()) + usize::from(arguments.yes);
    match (arguments.live, ways) {
        (true, 1) | (false, 0) => {}
        (true, 0) => return Err(usage("--live needs --brand BRAND_ID, or --yes")),
        (true, _) => return Err(usage("--live needs either --brand or --yes, not both")),
        (false, _) => return Err(usage("--brand and --yes need --live: nothing was called")),
    }
    if arguments.live {
        terminate_live(&plan_id, arguments.brand.as_ref(), timeout).await
    } else {
        terminate_on_embedded_gateway(&plan_id, timeout).await
    }
}

async fn terminate_live(
    plan_id: &PlanId,
    brand_id: Option<&BrandId>,
    timeout: Duration,
) -> Result<ExitCode, Misuse> {
    let settings = ClientSettings::from_env().map_err(|e| settings_error(&e))?;
    let mchid = settings.mchid().to_owned();
    let client = settings
        .builder()
        .await
        .map_err(|e| settings_error(&e))?
        .call_timeout(timeout)
        .user_agent("wxpay-example-terminate/0.1")
        .build()
        .map_err(|e| wrong("client", &e, &e.hint()))?;
    println!("calling {} as {mchid}", client.base_url());
    let plans = DeliveryPlans::new(client);
    let Some(brand_id) = brand_id else { return Ok(report(plans.terminate(plan_id).await)) };
    let looked = look(&plans, brand_id, plan_id).await;
    let plan = match looked.and_then(|plan| ask(plan_id).map(|()| plan)) {
        Ok(plan) => plan,
        Err(error) => {
            println!("error: {}", chain(error.as_ref()));
            if let Some(error) = error.downcast_ref::<Error>() {
                println!("  hint: {}", error.hint());
            }
            println!("outcome: not_sent");
            return Ok(ExitCode::from(2));
        }
    };
    // The plan that was shown, and no other one.
    let expected = TerminateExpectation::new(brand_id.clone(), plan_id.clone())
        .plan_name(plan.plan_name)
        .product_coupon_id(plan.product_coupon_id)
        .confirm_within(timeout)
        .without_impact();
    Ok(match plans.terminate_checked(&expected).await {
        Ok(outcome) => report_checked(&outcome),
        Err(error) => report(Err(error)),
    })
}

/// Prints how a checked termination ended, with its outcome on the last line.
fn report_checked(outcome: &TerminateOutcome) -> ExitCode {
    let (name, code) = match outcome {
        TerminateOutcome::Terminated(confirmed) => {
            let request_id = confirmed.response.as_ref().and_then(|r| r.request_id.as_deref());
            println!("plan {}: {}, read", confirmed.plan.plan_id, confirmed.plan.plan_state);
            println!("  request id: {}", request_id.unwrap_or("none"));
            ("terminated", 0)
        }
        TerminateOutcome::AlreadyEnded(ended) => {
            println!("plan {}: {}", ended.plan.plan_id, ended.plan.plan_state);
            let response = ended.response.as_ref();
            let request_id = response.and_then(|response| response.request_id.as_deref());
            println!("  request id: {}", request_id.unwrap_or("none"));
            if let Some(error) = &ended.error {
                println!("  error: {}", chain(error));
            }
            if ended.is_sent { ("already_ended", 0) } else { ("not_sent", 2) }
        }
        TerminateOutcome::Mismatch(_, differences) => {
            println!("error: the plan has changed since it was shown");
            for difference in differences {
                println!("  {difference}");
            }
            ("not_sent", 2)
        }
        TerminateOutcome::Refused(plan, error) => {
            println!("plan {}: still {}", plan.plan_id, plan.plan_state);
            show(Err(error));
            ("rejected", 1)
        }
        TerminateOutcome::Unconfirmed(unconfirmed) => {
            println!("error: whether the plan has ended is not known");
            for error in [&unconfirmed.error, &unconfirmed.read_error].into_iter().flatten() {
                println!("  cause: {}", chain(error));
            }
            println!("  hint: {}", unconfirmed.hint());
            ("unknown", 3)
        }
        other => {
            println!("error: {other:?}");
            ("unknown", 3)
        }
    };
    println!("outcome: {name}");
    ExitCode::from(code)
}

/// Shows the plan that is about to end.
async fn look<T: Transport>(
    plans: &DeliveryPlans<T>,
    brand_id: &BrandId,
    plan_id: &PlanId,
) -> Result<Plan, Box<dyn StdError>> {
    let plan = plans.find(brand_id, plan_id).await?;
    let plan =
        plan.ok_or_else(|| format!("brand {brand_id} has no plan {plan_id}: check both ids"))?;
    if plan.plan_state.is_final() {
        let state = &plan.plan_state;
        return Err(format!("plan {plan_id} of brand {brand_id} has ended already: {state}").into());
    }
    println!("plan {plan_id} of brand {brand_id}:");
    for (field, value) in [
        ("plan_name", plan.plan_name.as_str()),
        ("plan_state", plan.plan_state.as_str()),
        ("product_coupon_id", plan.product_coupon_id.as_str()),
        ("delivery_end_time", plan.delivery_end_time.as_str()),
    ] {
        println!("  {field}: {}", value.escape_debug());
    }
    Ok(plan)
}

/// Has the id typed once more.
fn ask(plan_id: &PlanId) -> Result<(), Box<dyn StdError>> {
    println!("Terminating it cannot be undone. Type its id once more to terminate it:");
    match std::io::stdin().lines().next().transpose()? {
        Some(typed) if typed.trim() == plan_id.as_str() => Ok(()),
        _ => Err("the id was not typed once more: nothing was sent".into()),
    }
}

async fn terminate_on_embedded_gateway(
    plan_id: &PlanId,
    timeout: Duration,
) -> Result<ExitCode, Misuse> {
    let gateway = Gateway::start().await;
    println!("gateway: {} (inside this program)", gateway.base_url());
    let base_url = BaseUrl::new(gateway.base_url()).map_err(|e| wrong("base URL", &e, e.hint()))?;
    let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
        .base_url(base_url)
        .call_timeout(timeout)
        .user_agent("wxpay-example-terminate/0.1")
        .build()
        .map_err(|e| wrong("client", &e, &e.hint()))?;

    show_state(&gateway, plan_id, "before");
    let ended = DeliveryPlans::new(client).terminate(plan_id).await;
    show_sent(&gateway);
    let outcome = show(ended.as_ref());
    show_state(&gateway, plan_id, "after");
    println!("outcome: {outcome}");
    Ok(exit_code(&ended))
}

fn show_state(gateway: &Gateway, plan_id: &PlanId, when: &str) {
    match gateway.plan_state(plan_id.as_str()) {
        Some(state) => println!("plan {plan_id} {when}: {state}"),
        None => println!("plan {plan_id} {when}: not there"),
    }
}

/// Shows what the gateway received, without secrets.
fn show_sent(gateway: &Gateway) {
    for entry in gateway.journal() {
        println!("sent: {} {}", entry.method(), entry.target());
        for (name, value) in entry.headers() {
            println!("  {name}: {value}");
        }
    }
}

/// Prints the result of a call, with its outcome on the last line.
fn report(ended: Result<Terminated, Error>) -> ExitCode {
    let outcome = show(ended.as_ref());
    println!("outcome: {outcome}");
    exit_code(&ended)
}

/// Prints the response or the error, and returns the name of the outcome.
fn show(ended: Result<&Terminated, &Error>) -> String {
    match ended {
        Ok(terminated) => {
            println!("response: 204, verified");
            println!("  signed by: {}", terminated.signed_by);
            println!("  signed at: {} (Unix seconds)", terminated.signed_at);
            println!("  request id: {}", terminated.request_id.as_deref().unwrap_or("none"));
            "terminated".to_owned()
        }
        Err(error) => {
            println!("error: {error}");
            println!("  code: {}", error.api().and_then(|e| e.code()).unwrap_or("none"));
            println!("  cause: {}", causes(error));
            println!("  hint: {}", error.hint());
            println!("  request id: {}", error.request_id().unwrap_or("none"));
            error.outcome().to_string()
        }
    }
}

/// Joins the sources of an error.
fn causes(error: &Error) -> String {
    match error.source() {
        Some(source) => chain(source),
        None => "none but the above".to_owned(),
    }
}

/// Joins an error with its sources.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&e| e.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn exit_code(ended: &Result<Terminated, Error>) -> ExitCode {
    match ended.as_ref().map_err(Error::outcome) {
        Ok(_) => ExitCode::SUCCESS,
        Err(Outcome::Rejected) => ExitCode::from(1),
        Err(Outcome::NotSent) => ExitCode::from(2),
        Err(_) => ExitCode::from(3),
    }
}

fn arguments() -> Result<Option<Arguments>, Misuse> {
    let mut parsed = Arguments::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--live" => parsed.live = true,
            "--verbose" => parsed.verbose = true,
            "--yes" => parsed.yes = true,
            "--brand" => {
                let brand = arguments.next().ok_or_else(|| usage("--brand needs a BRAND_ID"))?;
                let brand = BrandId::new(brand).map_err(|e| wrong("BRAND_ID", &e, e.hint()))?;
                parsed.brand = Some(brand);
            }
            "--timeout" => {
                let seconds = arguments.next().and_then(|s| s.parse().ok()).filter(|s| *s > 0.0);
                let timeout = seconds.and_then(|s: f64| Duration::try_from_secs_f64(s).ok());
                parsed.timeout =
                    Some(timeout.ok_or_else(|| usage("--timeout needs a number of seconds"))?);
            }
            option if option.starts_with("--") => {
                return Err(usage(&format!("there is no option {option}")));
            }
            _ if parsed.plan_id.is_some() => return Err(usage("there is more than one PLAN_ID")),
            plan_id => {
                let plan_id = PlanId::new(plan_id);
                parsed.plan_id = Some(plan_id.map_err(|e| wrong("PLAN_ID", &e, e.hint()))?);
            }
        }
    }
    Ok(Some(parsed))
}

fn settings_error(error: &wxpay_transport::Error) -> Misuse {
    Misuse(chain(error), error.hint().into_owned())
}

fn usage(what: &str) -> Misuse {
    Misuse(
        what.to_owned(),
        "see: cargo run -p wxpay-examples --example terminate -- --help".to_owned(),
    )
}

fn wrong(what: &str, error: &(dyn StdError + 'static), hint: &str) -> Misuse {
    Misuse(format!("{what}: {}", chain(error)), hint.to_owned())
}
