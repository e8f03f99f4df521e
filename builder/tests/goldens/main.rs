//! Whole builds of the public cases, against what BuildKit made of them: every file with its mode, owner and
//! content, the config and the history. Cases that run nothing are built where nothing can be run or unpacked;
//! all others with real snapshots and sandboxes, as root and in the user namespace of an ordinary user.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod case;
mod image;
mod nobody;
mod suites;
#[path = "../support/twice.rs"]
mod twice;

fn main() -> std::process::ExitCode {
    twice::main(suites::trials, None)
}
