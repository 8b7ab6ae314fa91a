//! Tests that run in a process of their own cannot pass without having run.

use std::ffi::OsStr;
use std::panic::catch_unwind;

use wxpay_tests::{own_process, own_process::run, this_test};

const FAILS: &str = "WXPAY_TEST_FAILS";

#[test]
fn a_test_that_does_not_exist_has_not_passed() {
    catch_unwind(|| run("own_process::there_is_no_such_test", &[])).unwrap_err();
}

/// Fails where the test below tells it to.
#[test]
fn one_that_fails_there() {
    assert!(std::env::var_os(FAILS).is_none(), "told to");
}

#[test]
fn a_test_that_fails_there_fails_here() {
    let test = this_test!().replace("a_test_that_fails_there_fails_here", "one_that_fails_there");
    run(&test, &[]);
    let failed = catch_unwind(|| run(&test, &[(FAILS, OsStr::new("1"))])).unwrap_err();
    let message = failed.downcast_ref::<String>().expect("a message");
    assert!(message.contains("told to"), "{message}");
}

#[test]
fn what_follows_runs_in_the_other_process() {
    let variable = "WXPAY_TEST_OWN_PROCESS";
    let here = std::env::var_os(variable);
    own_process!();
    assert!(here.is_some_and(|test| test.to_str() == Some(&*this_test!())));
}
