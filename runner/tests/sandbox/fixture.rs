//! A root file system with busybox in it, and what runs there.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use image_format::snapshot::RootMount;
use libtest_mimic::Trial;
use runner::sandbox::{Exit, Sandbox, SandboxError, SandboxSpec, Stream};

/// Temporary directories: a lower and an upper layer.
pub struct Fixture {
    pub place: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let fixture = Self { place };
        for directory in [
            "lower/bin",
            "lower/etc",
            "lower/tmp",
            "lower/root",
            "upper",
            "work",
        ] {
            fs::create_dir_all(fixture.path(directory)).unwrap();
        }
        let bin = fixture.path("lower/bin");
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for applet in [
            "cat", "chmod", "echo", "env", "find", "hostname", "id", "ip", "kill", "ls", "mkdir",
            "mknod", "mount", "pwd", "sh", "sleep", "stat", "stty", "touch", "true", "tty",
            "unshare", "wc",
        ] {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        let etc = fixture.path("lower/etc");
        fs::write(
            etc.join("passwd"),
            "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100:Ann:/home/ann:/bin/sh\n",
        )
        .unwrap();
        fs::write(
            etc.join("group"),
            "root:x:0:\nusers:x:100:\naudio:x:63:ann\n",
        )
        .unwrap();
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn root(&self) -> RootMount {
        RootMount::Overlay {
            base: self.place.path().into(),
            lowers: vec!["lower".into()],
            places: None,
            upper: self.path("upper"),
            work: self.path("work"),
            user_xattr: rootless(),
        }
    }

    pub fn spec(&self, args: &[&str]) -> SandboxSpec {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut spec = SandboxSpec::new(self.root(), args);
        spec.stdio.stdin = Stream::Null;
        spec.stdio.stdout = Stream::Pipe;
        spec.stdio.stderr = Stream::Pipe;
        spec
    }

    pub fn sh(&self, script: &str) -> SandboxSpec {
        self.spec(&["/bin/sh", "-c", script])
    }
}

/// What a payload said and how it ended.
#[derive(Debug)]
pub struct Outcome {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
}

pub fn run(spec: &SandboxSpec) -> Result<Outcome, SandboxError> {
    let mut running = Sandbox::spawn(spec)?;
    let read = |pipe: Option<fs::File>| {
        let mut text = Vec::new();
        pipe.unwrap().read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    let stdout = read(running.stdout.take());
    let stderr = read(running.stderr.take());
    let exit = running.wait()?;
    Ok(Outcome {
        exit,
        stdout,
        stderr,
    })
}

/// Runs a script that must succeed; what it wrote to standard output.
pub fn said(spec: &SandboxSpec) -> String {
    let outcome = run(spec).unwrap();
    assert_eq!(outcome.exit, Exit::Code(0), "{outcome:?}");
    outcome.stdout
}

/// Tests by their names.
pub fn trials(tests: &[(&'static str, fn())]) -> Vec<Trial> {
    let trial = |(name, test): &(&'static str, fn())| {
        let test = *test;
        Trial::test(*name, move || {
            test();
            Ok(())
        })
    };
    tests.iter().map(trial).collect()
}

/// Whether this is the run in a user namespace.
pub fn rootless() -> bool {
    std::env::var_os(super::IN_USER_NAMESPACE).is_some()
}
