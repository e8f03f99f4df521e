//! Trials run as who started the tests and, all once more, in the user namespace of an ordinary user.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Asks for the user namespace, before there is any thread.
const IN_USER_NAMESPACE: &str = "MKIMG_TEST_USER_NAMESPACE";
/// Has a subordinate range; `tests/install` makes it.
const USER: &str = "mkimg-test";

/// What the run in the user namespace is to compare with: a variable and its value.
pub type Expected = (&'static str, fn() -> Result<String, Failed>);

/// The whole `main` of a test that runs sandboxes.
pub fn main(trials: fn() -> Vec<Trial>, expected: Option<Expected>) -> ExitCode {
    runner::reexec::dispatch();
    let mut arguments = Arguments::from_args();
    let rootless = std::env::var_os(IN_USER_NAMESPACE).is_some();
    if rootless {
        match runner::userns::enter() {
            Ok(rung) => assert_eq!(rung, runner::userns::Rung::Subordinate),
            Err(error) => {
                eprintln!("{error}: {error:?}");
                return ExitCode::FAILURE;
            }
        }
    }
    arguments.test_threads.get_or_insert(2);
    let mut trials = trials();
    if !rootless {
        let filter = arguments.filter.clone();
        trials.push(Trial::test("all_again_in_a_user_namespace", move || {
            again(filter, expected)
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn again(filter: Option<String>, expected: Option<Expected>) -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755))?;
    let binary = place.path().join("tests");
    std::fs::copy(std::env::current_exe()?, &binary)?;
    let mut command = Command::new("runuser");
    command
        .args(["-u", USER, "--"])
        .arg(&binary)
        .args(filter.filter(|filter| !filter.starts_with("all_again")))
        .env(IN_USER_NAMESPACE, "1")
        .current_dir("/");
    if let Some((variable, value)) = expected {
        command.env(variable, value()?);
    }
    let output = command.output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}
