//! Commands in a test's imagination: no process, no namespace.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use image_format::snapshot::RootMount;

use super::{Executor, ExecutorError, Ran, RunStep};
use crate::cancel::Cancel;
use crate::progress::Output;

/// Does what a few words say, in a root that is an ordinary directory:
/// `write FILE TEXT`, `env NAME FILE`, `say TEXT`, `fail CODE`, `wait` (until it is cancelled),
/// `meet N` (until so many commands have come so far), `nothing`.
#[derive(Debug, Default)]
pub(crate) struct FakeExecutor {
    /// What was run, in that order.
    pub(crate) ran: Mutex<Vec<RunStep>>,
    met: AtomicUsize,
}

impl FakeExecutor {
    /// The last argument of each command that was run.
    pub(crate) fn commands(&self) -> Vec<String> {
        let ran = self.ran.lock().unwrap();
        ran.iter()
            .map(|step| step.args.last().unwrap().clone())
            .collect()
    }

    fn meet(&self, others: usize, cancel: &Cancel) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        self.met.fetch_add(1, Ordering::SeqCst);
        while self.met.load(Ordering::SeqCst) < others {
            if cancel.is_cancelled() || Instant::now() > end {
                return false;
            }
            sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Executor for FakeExecutor {
    fn run(
        &self,
        step: &RunStep,
        cancel: &Cancel,
        output: &mut dyn FnMut(Output, &[u8]),
    ) -> Result<Ran, ExecutorError> {
        self.ran.lock().unwrap().push(step.clone());
        let RootMount::Bind { path: root } = &step.root else {
            panic!("a fake executor wants an ordinary directory");
        };
        let mut code = 0;
        let command = step.args.last().unwrap();
        for line in command.split(';') {
            let mut words = line.trim().splitn(3, ' ');
            let mut word = || words.next().unwrap_or_default();
            match word() {
                "write" => fs::write(root.join(word()), word()).unwrap(),
                "env" => {
                    let name = format!("{}=", word());
                    let value = step.env.iter().find_map(|entry| entry.strip_prefix(&name));
                    fs::write(root.join(word()), value.unwrap_or("(none)")).unwrap();
                }
                "say" => output(Output::Stdout, format!("{}\n", word()).as_bytes()),
                "fail" => code = word().parse().unwrap(),
                "meet" => code = u8::from(!self.meet(word().parse().unwrap(), cancel)),
                "wait" => {
                    while !cancel.is_cancelled() {
                        sleep(Duration::from_millis(1));
                    }
                    return Err(ExecutorError::Cancelled);
                }
                "nothing" => {}
                path if step.script.iter().any(|script| script.path == path) => {}
                other => panic!("no such fake command: {other}"),
            }
        }
        Ok(Ran {
            code,
            mount_targets: vec![PathBuf::from("/etc/hosts")],
        })
    }
}
