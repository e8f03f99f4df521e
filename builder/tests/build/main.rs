//! Whole builds, with real snapshots and sandboxes: as root and, all once more, in the user
//! namespace of an ordinary user, where the images must be the same.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod builds;
#[path = "../support/twice.rs"]
mod twice;

fn main() -> std::process::ExitCode {
    twice::main(builds::trials, Some((builds::EXPECTED, builds::image_id)))
}
