//! Tests that need a process of their own. Tests of one program are threads of one process, and process-wide
//! state affects all of them: a subscriber, a metrics recorder, the state of a PKCS#11 module, the number of
//! descriptors.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

/// The variable that names the test of this process.
const TEST: &str = "WXPAY_TEST_OWN_PROCESS";

/// Moves a test into a process of its own: the statements after it run only there.
///
/// `own_process!()` may run beside other tests, `own_process!(alone)` beside no test that uses either form.
#[macro_export]
macro_rules! own_process {
    () => {
        if $crate::own_process::Turn::Shared.has_run(&$crate::this_test!()) {
            return;
        }
    };
    (alone) => {
        if $crate::own_process::Turn::Alone.has_run(&$crate::this_test!()) {
            return;
        }
    };
}

/// Returns the name of the calling test, as the harness knows it.
#[macro_export]
macro_rules! this_test {
    () => {{
        fn here() {}
        $crate::own_process::around(here)
    }};
}

/// Which other tests in their own processes may run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Other tests that are also shared.
    Shared,
    /// No other test.
    Alone,
}

impl Turn {
    /// Runs a test in a process of its own, unless this is that process.
    ///
    /// # Panics
    /// Panics if the test fails there.
    pub fn has_run(self, test: &str) -> bool {
        static TURNS: RwLock<()> = RwLock::new(());
        if std::env::var_os(TEST).is_some_and(|here| here == test) {
            return false;
        }
        // A failed test leaves nothing behind that these locks protect.
        match self {
            Self::Shared => {
                let _turn = TURNS.read().unwrap_or_else(PoisonError::into_inner);
                run(test, &[]);
            }
            Self::Alone => {
                let _turn = TURNS.write().unwrap_or_else(PoisonError::into_inner);
                run(test, &[]);
            }
        }
        true
    }
}

/// Runs a test of this program again, in a process of its own with these variables.
///
/// # Panics
/// Panics if the test fails there, or if no test has this name.
pub fn run(test: &str, variables: &[(&str, &OsStr)]) {
    let mut command = Command::new(this_program());
    command.args(["--exact", test, "--include-ignored", "--nocapture"]).env(TEST, test);
    let (status, said) = end(command.envs(variables.iter().copied()));
    print!("{said}");
    let has_passed = status.success() && said.contains("test result: ok. 1 passed;");
    assert!(has_passed, "{test} in a process of its own: {status}\n{said}");
}

/// Returns the path of this program, even if it has been rebuilt meanwhile.
fn this_program() -> PathBuf {
    if cfg!(target_os = "linux") {
        return PathBuf::from("/proc/self/exe");
    }
    std::env::current_exe().expect("a path")
}

/// Waits for a program to exit, and returns its output. The output goes to a file rather than a pipe, which a
/// daemon started by the program would keep open.
fn end(command: &mut Command) -> (ExitStatus, String) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("wxpay-own-process-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = File::options().create(true).append(true).open(&path).expect("a file");
    command.stdin(Stdio::null()).stdout(file.try_clone().expect("a file")).stderr(file);
    let status = command.status().expect("this program");
    let said = std::fs::read(&path).expect("a file");
    std::fs::remove_file(&path).expect("a file");
    (status, String::from_utf8_lossy(&said).into_owned())
}

/// Returns the name of the test around a function: `born::a_test` for `hsm::born::a_test::{{closure}}::here`.
pub fn around<T>(_: T) -> String {
    let path: Vec<_> = std::any::type_name::<T>().split("::").skip(1).collect();
    let is_around = |part: &&str| !matches!(*part, "{{closure}}" | "here");
    path.into_iter().filter(is_around).collect::<Vec<_>>().join("::")
}
