//! The threads that compress layers: a large one on all cores, small ones side by side.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope, available_parallelism};

use image_format::archive;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use tokio::sync::oneshot;

use super::{Push, PushError, Pushing};

/// A layer takes a core for each so many bytes: the blocks of gzip.
const BYTES_A_CORE: u64 = 1 << 20;

/// The threads, and what they are to do.
pub(super) struct Packers<'a> {
    push: &'a Push<'a>,
    cores: NonZeroUsize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<Job>,
    /// Cores that nobody compresses on.
    free: usize,
    closed: bool,
}

/// A layer to be compressed.
struct Job {
    number: usize,
    layer: Descriptor,
    /// `None` for one that only has to be fetched.
    diff_id: Option<Digest>,
    cores: NonZeroUsize,
    done: oneshot::Sender<Result<Descriptor, PushError>>,
}

impl<'a> Packers<'a> {
    pub fn new(push: &'a Push<'a>) -> Self {
        let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            push,
            cores,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                free: cores.get(),
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Starts the threads, which end when it is closed.
    pub fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Result<(), PushError> {
        for _ in 0..self.cores.get() {
            let thread = Builder::new().name("packer".to_owned());
            if let Err(error) = thread.spawn_scoped(scope, || self.work()) {
                self.close();
                return Err(PushError::Thread(error));
            }
        }
        Ok(())
    }

    /// What a layer is when it is compressed.
    pub async fn pack(
        &self,
        number: usize,
        layer: &Descriptor,
        diff_id: Digest,
    ) -> Result<Descriptor, PushError> {
        let blocks = usize::try_from(layer.size.div_ceil(BYTES_A_CORE)).unwrap_or(usize::MAX);
        self.give(number, layer, Some(diff_id), blocks).await
    }

    /// Has a layer fetched that was not when its image was pulled: that waits for another registry, which
    /// only another thread can.
    pub async fn fetch(&self, number: usize, layer: &Descriptor) -> Result<(), PushError> {
        self.give(number, layer, None, 1).await.map(drop)
    }

    async fn give(
        &self,
        number: usize,
        layer: &Descriptor,
        diff_id: Option<Digest>,
        blocks: usize,
    ) -> Result<Descriptor, PushError> {
        let (done, result) = oneshot::channel();
        let cores = NonZeroUsize::new(blocks).unwrap_or(NonZeroUsize::MIN);
        self.state().waiting.push_back(Job {
            number,
            layer: layer.clone(),
            diff_id,
            cores: cores.min(self.cores),
            done,
        });
        self.changed.notify_all();
        result.await.unwrap_or(Err(PushError::Cancelled))
    }

    /// Ends what is begun, and begins no more.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting.clear();
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            let packed = self.done(&job);
            // Who waits no more has failed.
            let _ = job.done.send(packed);
            self.state().free += job.cores.get();
            self.changed.notify_all();
        }
    }

    fn done(&self, job: &Job) -> Result<Descriptor, PushError> {
        let Push { store, packing, .. } = self.push;
        let Some(diff_id) = &job.diff_id else {
            store.open_blob(&job.layer.digest)?;
            return Ok(job.layer.clone());
        };
        let compression = packing.compression;
        let watch = |bytes| self.watch(job.number, bytes);
        Ok(archive::compress(
            store,
            &job.layer,
            diff_id,
            compression,
            job.cores,
            watch,
        )?)
    }

    /// The next layer, as soon as there are cores for it; `None` when it is closed.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            let free = state.free;
            let fits = state
                .waiting
                .front()
                .is_some_and(|job| job.cores.get() <= free);
            if let Some(job) = fits.then(|| state.waiting.pop_front()).flatten() {
                state.free -= job.cores.get();
                return Some(job);
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn watch(&self, blob: usize, bytes: u64) -> bool {
        (self.push.hear)(Pushing::Packed { blob, bytes });
        !self.push.cancel.is_cancelled() && !self.state().closed
    }
}
