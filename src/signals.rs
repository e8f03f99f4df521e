//! Ctrl-C and its kin. While a build runs the first asks it to end, and the second ends it; what else takes
//! its time is ended at once, without leaving half of its work.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use builder::cancel::Cancel;
use image_format::layout::remove_tree;
use nix::sys::signal::{SigSet, Signal};

use crate::error::Error;

/// The signal that asked for an end, if one did.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    signal: Arc<AtomicU8>,
    begun: Arc<AtomicBool>,
}

impl Interrupt {
    /// Its number.
    pub fn signal(&self) -> Option<u8> {
        Some(self.signal.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }

    /// From now on there is somebody who heeds the first signal.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }
}

/// Sets `cancel` when SIGINT, SIGTERM or SIGHUP comes; a second one ends the process at once, and so does
/// the first before [`Interrupt::begin`]. Whatever runs in a sandbox ends with it.
///
/// To be called before there is any other thread.
pub fn watch(cancel: &Cancel) -> Result<Interrupt, Error> {
    let interrupt = Interrupt::default();
    let (cancel, first) = (cancel.clone(), interrupt.clone());
    on_signal(move |signal| {
        if first.signal().is_some() || !first.begun.load(Ordering::Acquire) {
            end(signal);
        }
        first.signal.store(signal, Ordering::Release);
        cancel.cancel();
    })?;
    Ok(interrupt)
}

/// Files and directories that are removed when a signal ends the process.
///
/// Dropped, it waits for an end that has begun: what the removal makes fail is not told of.
#[derive(Debug, Default)]
pub struct Unfinished(Arc<Mutex<Vec<PathBuf>>>);

/// How often, and with what pause, a removal is tried: others write there until the process has ended.
const REMOVALS: usize = 100;
const PAUSE: Duration = Duration::from_millis(2);

impl Unfinished {
    /// Ends the process at SIGINT, SIGTERM or SIGHUP, and removes what was made before.
    ///
    /// To be called before there is any other thread.
    pub fn watch() -> Result<Self, Error> {
        let unfinished = Self::default();
        let all = Arc::clone(&unfinished.0);
        on_signal(move |signal| {
            let all = all.lock().unwrap_or_else(PoisonError::into_inner);
            for path in all.iter() {
                // What of the store cannot be removed now, the next process sweeps.
                for _ in 0..REMOVALS {
                    if remove_tree(path).is_ok() {
                        break;
                    }
                    std::thread::sleep(PAUSE);
                }
            }
            end(signal);
        })?;
        Ok(unfinished)
    }

    /// Makes one, by a path that nothing else can come to have.
    pub fn make<T, E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
        path: impl FnOnce(&T) -> &Path,
    ) -> Result<T, E> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = make()?;
        all.push(path(&made).to_owned());
        Ok(made)
    }

    /// Moves one that is finished to its place, or does not come back: when the removal has begun, it would
    /// go on there.
    pub fn publish<T, E>(&self, publish: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let _no_end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        publish()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        drop(self.0.lock());
    }
}

fn end(signal: u8) -> ! {
    std::process::exit(128 + i32::from(signal))
}

/// Calls `hear` with the number of each SIGINT, SIGTERM and SIGHUP. The signals are blocked here, for all
/// threads that are made after, and waited for in one. Programs that are started do not inherit that.
fn on_signal(hear: impl Fn(u8) + Send + 'static) -> Result<(), Error> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    let failed = |errno| Error::Signals(io::Error::from(errno));
    signals.thread_block().map_err(failed)?;
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            // Numbers of signals are below 65.
            hear(signal as u8);
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(wait).map(drop).map_err(Error::Signals)
}
