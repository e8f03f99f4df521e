//! Ctrl-C and its kin while a build runs: the first asks it to end, the second ends it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use builder::cancel::Cancel;
use nix::sys::signal::{SigSet, Signal};

use crate::error::Error;

/// The signal that asked for an end, if one did.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Its number.
    pub fn signal(&self) -> Option<u8> {
        Some(self.0.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }
}

/// Sets `cancel` when SIGINT, SIGTERM or SIGHUP comes; a second one ends the process at once. Whatever runs
/// in a sandbox ends with it.
///
/// To be called before there is any other thread: the signals are blocked here, for all threads that are made
/// after, and waited for in one. Programs that are started do not inherit that.
pub fn watch(cancel: &Cancel) -> Result<Interrupt, Error> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    let failed = |errno| Error::Signals(io::Error::from(errno));
    signals.thread_block().map_err(failed)?;
    let interrupt = Interrupt::default();
    let (cancel, first) = (cancel.clone(), interrupt.clone());
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            // Numbers of signals are below 65.
            let number = signal as u8;
            if first.signal().is_some() {
                std::process::exit(128 + i32::from(number));
            }
            first.0.store(number, Ordering::Release);
            cancel.cancel();
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(wait).map_err(Error::Signals)?;
    Ok(interrupt)
}
