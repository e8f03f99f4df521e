//! The way to the disk, begun while a blob is still written: what makes it durable at the end then
//! waits for little.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// After so many bytes it is begun, and begun again.
const STEP: u64 = 32 << 20;

/// Brings a file to the disk, in a thread of its own; dropped, it stops.
pub(super) struct Flush {
    begin: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Flush {
    /// Begins where the last bytes of `written` have passed a step. A file that cannot be flushed
    /// so is flushed when it has to be.
    pub fn after(flush: &mut Option<Self>, file: &File, last: usize, written: u64) {
        if written / STEP == (written - last as u64) / STEP {
            return;
        }
        if flush.is_none() {
            *flush = Self::start(file).ok();
        }
        if let Some(flush) = flush {
            flush.begin();
        }
    }

    fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (begin, begun) = sync_channel(1);
        let thread = Builder::new().name("flush".into()).spawn(move || {
            for () in begun {
                file.sync_data()?;
            }
            Ok(())
        })?;
        Ok(Self { begin, thread })
    }

    fn begin(&self) {
        // If one waits already, it will take all that is written by now; if none does any more,
        // the thread has failed, and says so in the end.
        let _ = self.begin.try_send(());
    }

    /// Begins with all that is left, and does not wait for it. Who waits has to see the result: the
    /// kernel tells of each failure once.
    pub fn finish(self) -> JoinHandle<io::Result<()>> {
        self.begin();
        self.thread
    }
}
