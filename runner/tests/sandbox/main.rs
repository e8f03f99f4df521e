//! Real sandboxes, as root and, the whole once more, in the user namespace of an ordinary user.
//!
//! The programs inside are busybox's.
#![allow(missing_docs)]

mod confinement;
mod files;
mod fixture;
mod identity;
mod life;
mod lifeline;
mod terminal;

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Asks for the user namespace, before there is any thread.
const IN_USER_NAMESPACE: &str = "MKIMG_TEST_USER_NAMESPACE";
/// Has a subordinate range; `tests/install` makes it.
const USER: &str = "mkimg-test";

fn main() -> ExitCode {
    runner::reexec::dispatch();
    let rootless = std::env::var_os(IN_USER_NAMESPACE);
    let rootless = rootless.as_deref();
    if rootless == Some("1".as_ref()) {
        match runner::userns::enter() {
            Ok(rung) => assert_eq!(rung, runner::userns::Rung::Subordinate),
            Err(error) => {
                eprintln!("{error}: {error:?}");
                return ExitCode::FAILURE;
            }
        }
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(4);
    if let Some(spec) = std::env::var_os(lifeline::PARENT) {
        lifeline::parent(spec.into());
    }
    let mut trials = [
        confinement::TESTS,
        files::TESTS,
        identity::TESTS,
        life::TESTS,
        lifeline::TESTS,
        terminal::TESTS,
    ]
    .into_iter()
    .flat_map(fixture::trials)
    .collect::<Vec<_>>();
    if rootless.is_none() {
        let filter = arguments.filter.clone();
        trials.push(Trial::test("all_again_in_a_user_namespace", move || {
            again(filter)
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn again(filter: Option<String>) -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755))?;
    let binary = place.path().join("tests");
    std::fs::copy(std::env::current_exe()?, &binary)?;
    let output = Command::new("runuser")
        .args(["-u", USER, "--"])
        .arg(&binary)
        .args(filter.filter(|filter| !filter.starts_with("all_again")))
        .env(IN_USER_NAMESPACE, "1")
        .current_dir("/")
        .output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}
