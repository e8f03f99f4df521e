//! Real sandboxes, as root and, the whole once more, in the user namespace of an ordinary user.
//!
//! The programs inside are busybox's.
#![allow(missing_docs)]
// None of it is behind #[test], which would be allowed to.
#![allow(clippy::unwrap_used)]

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
                eprintln!("{error}: {:?}", error.hint());
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
        trials.push(Trial::test(
            "without_a_namespace_the_remedy_is_named",
            refusals,
        ));
        trials.push(Trial::test("all_again_in_a_user_namespace", move || {
            again(filter)
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// This program, where every user can execute it.
struct Copy {
    place: tempfile::TempDir,
}

impl Copy {
    fn new() -> Result<Self, Failed> {
        let place = tempfile::tempdir()?;
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755))?;
        std::fs::copy(std::env::current_exe()?, place.path().join("tests"))?;
        Ok(Self { place })
    }

    /// A command that runs it as `user`, to enter a user namespace first; `wrapper` is put before.
    fn run_by(&self, user: &str, wrapper: &[&str]) -> Command {
        let mut command = Command::new("runuser");
        command
            .args(["-u", user, "--"])
            .args(wrapper)
            .arg(self.place.path().join("tests"))
            .env(IN_USER_NAMESPACE, "1")
            .current_dir("/");
        command
    }
}

fn again(filter: Option<String>) -> Result<(), Failed> {
    let output = Copy::new()?
        .run_by(USER, &[])
        .args(filter.filter(|filter| !filter.starts_with("all_again")))
        .output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

/// Why there is no user namespace, and what to do, in words that help.
fn refusals() -> Result<(), Failed> {
    let copy = Copy::new()?;
    for (user, wrapper, words) in [
        (
            "mkimg-lone",
            &[][..],
            ["mkimg-lone has no subordinate ids", "usermod --add-subuids"],
        ),
        (
            USER,
            &["env", "PATH=/nowhere"],
            ["newuidmap is not installed", "package uidmap"],
        ),
        (
            USER,
            &["setpriv", "--no-new-privs"],
            ["cannot map the subordinate ids", "no_new_privs"],
        ),
    ] {
        let output = copy.run_by(user, wrapper).output()?;
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        for words in words {
            assert!(said.contains(words), "{said}");
        }
    }
    Ok(())
}
