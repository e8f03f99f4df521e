//! The removal of directories by a thread, so that nobody waits for the disk to forget them.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::remove_tree;

/// How many directories may wait to be removed; whoever brings one more waits too.
const MOST_WAITING: usize = 16;

/// Removes what it is given; when dropped, it waits until all is gone.
///
/// What cannot be removed is left to the next process, which sweeps.
#[derive(Default)]
pub(super) struct Remover {
    /// Started for the first directory; `None` where it could not be.
    thread: OnceLock<Option<Thread>>,
}

struct Thread {
    tasks: SyncSender<Task>,
    handle: JoinHandle<()>,
}

enum Task {
    Remove(PathBuf),
    /// Says that all before it is done.
    Tell(SyncSender<()>),
}

impl Remover {
    /// Has a directory removed, if it is still there.
    pub fn remove(&self, dir: PathBuf) {
        // Most are moved away by now.
        if !dir.exists() {
            return;
        }
        if let Some(thread) = self.thread.get_or_init(Thread::start) {
            // It takes them as long as there is a sender.
            let _ = thread.tasks.send(Task::Remove(dir));
        }
    }

    /// Waits until all is gone that was given so far.
    pub fn wait(&self) {
        if let Some(Some(thread)) = self.thread.get() {
            let (tell, told) = sync_channel(1);
            let asked = thread.tasks.send(Task::Tell(tell));
            // One that has panicked removes nothing any more.
            let _ = asked.map(|()| told.recv());
        }
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        if let Some(Thread { tasks, handle }) = self.thread.take().flatten() {
            drop(tasks);
            // A panic in it has been told of.
            let _ = handle.join();
        }
    }
}

impl Thread {
    fn start() -> Option<Self> {
        let (tasks, to_do) = sync_channel(MOST_WAITING);
        let handle = Builder::new().name("remover".into()).spawn(move || {
            for task in to_do {
                match task {
                    Task::Remove(dir) => drop(remove_tree(&dir)),
                    // Who waited may be gone.
                    Task::Tell(waiting) => drop(waiting.send(())),
                }
            }
        });
        handle.ok().map(|handle| Self { tasks, handle })
    }
}
