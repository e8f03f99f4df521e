//! The memory that mkimg takes, which does not follow the size of what goes through it.
#![allow(clippy::unwrap_used)]

mod servers;
mod support;

use std::fs::File;

use nix::sys::resource::{UsageWho, getrusage};
use servers::registry::Registry;
use support::{Env, User};

/// Of a layer.
const SIZE: u64 = 256 << 20;
/// What mkimg may take, in KiB.
const MOST: i64 = 64 << 10;

#[test]
fn a_large_layer_takes_no_more_memory_than_a_small_one() {
    let env = Env::new(User::Own);
    env.import_busybox("busybox");
    env.write(
        "context/Dockerfile",
        "FROM busybox\nCOPY sparse /\nRUN truncate -s 256M /more && ls -l /sparse\n",
    );
    let sparse = File::create(env.path("context/sparse")).unwrap();
    sparse.set_len(SIZE).unwrap();
    env.mkimg(["build", "-t", "large", "context"]).success();
    env.mkimg(["save", "-o", "saved", "large"]).success();
    assert!(env.path("saved").metadata().unwrap().len() > 2 * SIZE);
    env.mkimg(["--root", "other", "load", "-i", "saved"])
        .success();
    let registry = Registry::start();
    let name = format!("{}/large:1", registry.host());
    env.mkimg(["tag", "large", &name]).success();
    env.mkimg(["push", &name]).success();
    env.mkimg(["push", "--compression", "zstd", &name])
        .success();
    // Of all processes that have ended, mkimg's and its steps', the largest.
    let most = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(most < MOST, "{most} KiB");
}
