//! The layers of an image: those that are missing come side by side, each into a file of the store; behind
//! that they are checked and unpacked, one after the other, each on those below.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};

use builder::cancel::Cancel;
use builder::remote::Pulling;
use bytes::Bytes;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::layer::compression::decompress;
use image_format::layout::{BlobWriter, Follower, StoreError, VerifiedReader};
use image_format::reference::Reference;
use image_format::snapshot::LayerSource;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Layers, Pull, PullError};
use crate::cancellable;
use crate::registry::{Access, Blob, RegistryError, Repository};

/// As many layers come at once: docker's number.
const MOST_AT_ONCE: usize = 3;
/// As many chunks wait to be written; each is what came at once, some ten KiB.
const MOST_WAITING: usize = 16;

/// The layers of a manifest with what its config says of them, base first.
pub(super) fn of(blobs: &[Descriptor], diff_ids: &[Digest]) -> Vec<LayerSource> {
    let layers = blobs.iter().zip(diff_ids);
    let layers = layers.map(|(blob, diff_id)| LayerSource {
        blob: blob.clone(),
        diff_id: *diff_id,
    });
    layers.collect()
}

/// A layer's way from the network to its file.
enum Piece {
    Bytes(Bytes),
    /// That was all, and it is right.
    End,
}

/// What all threads of a pull share.
struct Work<'a> {
    pull: &'a Pull<'a>,
    layers: &'a [LayerSource],
    /// Ends all of them, when one fails.
    stop: Cancel,
    failed: Mutex<Option<PullError>>,
    /// How many layers are here and checked.
    done: AtomicUsize,
}

impl Work<'_> {
    /// The first failure counts: those that follow come of the end it brings.
    fn fail(&self, error: PullError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
        self.stop.cancel();
    }

    fn hear(&self, event: Pulling<'_>) {
        (self.pull.hear)(event);
    }
}

/// Which layers of an image the store does not have.
pub(super) struct Needs {
    /// The numbers of those that are to be fetched; of the same twice, the first one's.
    pub missing: Vec<usize>,
    /// Those that are not, for now, with the blobs that stand in for them.
    pub absent: Vec<(LayerSource, Option<Digest>)>,
}

impl Needs {
    /// Of an image that the store has, what is there of its layers is durable, and need not be read.
    pub fn of(pull: &Pull<'_>, layers: &[LayerSource], is_known: bool) -> Result<Self, StoreError> {
        let store = pull.store;
        let mut needs = Self {
            missing: Vec::new(),
            absent: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        let mut by_diff_id = None;
        for (layer, source) in layers.iter().enumerate() {
            let Descriptor { digest, size, .. } = source.blob;
            if !seen.insert(digest) {
                continue;
            }
            let is_here = match is_known {
                true => store.blob_size(&digest)? == Some(size),
                // What an interrupted pull left may have been cut off by a crash.
                false => store.holds(&digest, size)?,
            };
            if is_here {
                (pull.hear)(Pulling::Present { layer });
                continue;
            }
            let by_diff_id = match &mut by_diff_id {
                Some(known) => known,
                none => none.insert(store.blobs_by_diff_id()?),
            };
            let plain = store.blob_path(&source.diff_id).exists();
            let stand_in = match plain {
                true => Some(source.diff_id),
                false => by_diff_id.get(&source.diff_id).copied(),
            };
            match pull.layers {
                _ if stand_in.is_some() => {
                    (pull.hear)(Pulling::Present { layer });
                    needs.absent.push((source.clone(), stand_in));
                }
                Layers::Later => needs.absent.push((source.clone(), None)),
                Layers::Stored | Layers::Unpacked(_) => needs.missing.push(layer),
            }
        }
        Ok(needs)
    }

    /// The blobs that are in the store when what is missing has been fetched.
    pub fn here(&self, layers: &[LayerSource]) -> Vec<Digest> {
        let absent = |digest: &Digest| {
            let mut absent = self.absent.iter();
            absent.find(|(layer, _)| layer.blob.digest == *digest)
        };
        let all = layers.iter().map(|layer| layer.blob.digest);
        all.filter_map(|digest| match absent(&digest) {
            Some((_, stand_in)) => *stand_in,
            None => Some(digest),
        })
        .collect()
    }
}

impl Pull<'_> {
    /// Brings the layers that are missing, given by their numbers, and unpacks all if that is wanted.
    pub(super) fn bring(
        &self,
        repository: &Repository,
        layers: &[LayerSource],
        missing: &[usize],
    ) -> Result<(), PullError> {
        let work = Work {
            pull: self,
            layers,
            stop: self.cancel.child(),
            failed: Mutex::default(),
            done: AtomicUsize::new(0),
        };
        thread::scope(|scope| {
            let (mut begun, mut begin) = (BTreeMap::new(), BTreeMap::new());
            for layer in missing {
                let (sender, receiver) = sync_channel(1);
                begin.insert(*layer, sender);
                begun.insert(*layer, receiver);
            }
            let work = &work;
            spawn(scope, "layers", move || work.follow(begun))?;
            let fetched = work.fetch(scope, repository, begin);
            if let Err(error) = self.registries.wait(fetched) {
                work.fail(error);
            }
            Ok::<_, PullError>(())
        })?;
        let failed = work.failed.into_inner();
        match failed.unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None if work.done.into_inner() < layers.len() => Err(PullError::Cancelled),
            None => Ok(()),
        }
    }

    /// Brings one layer from the repository that has it.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn layer(&self, layer: &LayerSource, from: &Reference) -> Result<(), PullError> {
        let repository = self
            .registries
            .repository(from, Access::Pull, self.cancel)?;
        self.bring(&repository, std::slice::from_ref(layer), &[0])?;
        Ok(self.store.sync(&[layer.blob.digest])?)
    }

    /// Brings those of these layers that were not fetched when their image was pulled, each from where it
    /// is, and unpacks all if that is wanted.
    ///
    /// # Errors
    /// When one cannot be had or unpacked.
    pub fn rest(&self, layers: &[LayerSource]) -> Result<(), PullError> {
        let mut by_place: BTreeMap<Reference, Vec<usize>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (number, layer) in layers.iter().enumerate() {
            if self.store.standing_in(layer)?.is_some() || !seen.insert(layer.blob.digest) {
                continue;
            }
            if let Some(elsewhere) = self.store.elsewhere(&layer.blob.digest)? {
                by_place.entry(elsewhere.from).or_default().push(number);
            }
        }
        let mut places = by_place.into_iter().peekable();
        let blobs: Vec<Descriptor> = layers.iter().map(|layer| layer.blob.clone()).collect();
        (self.hear)(Pulling::Layers(&blobs));
        while let Some((from, missing)) = places.next() {
            let repository = self
                .registries
                .repository(&from, Access::Pull, self.cancel)?;
            match places.peek() {
                None => self.bring(&repository, layers, &missing)?,
                Some(_) => {
                    // Those of several repositories cannot be unpacked as they come.
                    let own: Vec<LayerSource> =
                        missing.iter().map(|n| layers[*n].clone()).collect();
                    let all: Vec<usize> = (0..own.len()).collect();
                    let stored = Pull {
                        layers: Layers::Stored,
                        ..*self
                    };
                    stored.bring(&repository, &own, &all)?;
                }
            }
            let fetched: Vec<Digest> = missing.iter().map(|n| layers[*n].blob.digest).collect();
            self.store.sync(&fetched)?;
        }
        Ok(())
    }
}

impl Work<'_> {
    /// Fetches the missing layers.
    async fn fetch<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        repository: &Repository,
        begin: BTreeMap<usize, SyncSender<Follower>>,
    ) -> Result<(), PullError> {
        let mut coming = JoinSet::new();
        let fetched = self.fetch_by(&mut coming, scope, repository, begin).await;
        // Those that write would wait for ever: what is aborted ends only while somebody waits for it.
        coming.shutdown().await;
        fetched
    }

    /// Fetches some at a time. Each is handed on to whoever follows it as soon as it begins.
    async fn fetch_by<'scope>(
        &'scope self,
        coming: &mut JoinSet<Result<(), RegistryError>>,
        scope: &'scope Scope<'scope, '_>,
        repository: &Repository,
        begin: BTreeMap<usize, SyncSender<Follower>>,
    ) -> Result<(), PullError> {
        let mut waiting = begin.into_iter();
        loop {
            while coming.len() < MOST_AT_ONCE
                && let Some((layer, begin)) = waiting.next()
            {
                let blob = &self.layers[layer].blob;
                let mut writer = self.pull.store.blob_writer()?;
                let (sender, receiver) = mpsc::channel(MOST_WAITING);
                // It has room for one.
                let _ = begin.send(writer.follow()?);
                spawn(scope, "layer", move || self.write(layer, writer, receiver))?;
                coming.spawn(receive(repository.blob(blob), sender));
            }
            let next = cancellable::unless(&self.stop, coming.join_next()).await;
            match next {
                None => return Err(PullError::Cancelled),
                Some(None) => return Ok(()),
                Some(Some(Ok(received))) => received?,
                Some(Some(Err(error))) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return Err(PullError::Cancelled),
                },
            }
        }
    }

    /// Writes a layer as it comes.
    fn write(&self, layer: usize, mut writer: BlobWriter, mut pieces: mpsc::Receiver<Piece>) {
        let digest = self.layers[layer].blob.digest;
        // Without an end, the fetching has failed.
        while let Some(piece) = pieces.blocking_recv() {
            let Piece::Bytes(bytes) = piece else {
                self.hear(Pulling::Fetched { layer });
                if let Err(error) = writer.finish_as(digest) {
                    self.fail(error.into());
                }
                return;
            };
            if let Err(source) = writer.write_all(&bytes) {
                return self.fail(self.io_error("write", &digest, source).into());
            }
            let bytes = bytes.len() as u64;
            self.hear(Pulling::Bytes { layer, bytes });
        }
    }

    /// Checks the layers behind their coming, and unpacks them where that is wanted.
    fn follow(&self, mut begun: BTreeMap<usize, Receiver<Follower>>) {
        let diff_ids: Vec<Digest> = self.layers.iter().map(|layer| layer.diff_id).collect();
        for (layer, source) in self.layers.iter().enumerate() {
            let broken = Arc::default();
            let follower = match begun.remove(&layer).map(|begun| begun.recv()) {
                None => None,
                Some(Ok(inner)) => Some(Followed {
                    inner,
                    stop: self.stop.clone(),
                    broken: Arc::clone(&broken),
                }),
                // The fetching has ended before.
                Some(Err(_)) => return,
            };
            match self.check(source, &diff_ids[..layer], follower) {
                Ok(()) => self.hear(Pulling::Done { layer }),
                // Who has given the layer up, says why.
                Err(_) if broken.load(Ordering::Acquire) => return,
                Err(error) => return self.fail(error),
            }
            self.done.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Checks a layer that comes, and unpacks it where that is wanted; one that was here before is checked
    /// when it is unpacked.
    fn check(
        &self,
        source: &LayerSource,
        below: &[Digest],
        mut coming: Option<Followed>,
    ) -> Result<(), PullError> {
        if let Layers::Unpacked(snapshotter) = self.pull.layers {
            let unpacked =
                snapshotter.unpack(below, &source.diff_id, &mut || match coming.take() {
                    Some(coming) => self.tar(source, coming),
                    None => self.pull.store.layer_tar(&source.blob, &source.diff_id),
                });
            unpacked.map_err(|error| self.layer_error(source, error))?;
        }
        // It was unpacked before, of another blob, or is not to be.
        if let Some(coming) = coming {
            let mut tar = self.tar(source, coming)?;
            let read = io::copy(&mut tar, &mut io::sink());
            read.map_err(|error| self.layer_error(source, error))?;
        }
        Ok(())
    }

    /// The tar within a layer that comes.
    fn tar(
        &self,
        source: &LayerSource,
        coming: Followed,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        let tar = decompress(coming);
        let tar = tar.map_err(|error| self.io_error("read", &source.blob.digest, error))?;
        let tar = VerifiedReader::of_unknown_size(tar, source.diff_id);
        Ok(Box::new(tar))
    }

    fn io_error(&self, action: &'static str, blob: &Digest, source: io::Error) -> StoreError {
        let path = self.pull.store.blob_path(blob);
        StoreError::Io {
            action,
            path,
            source,
        }
    }

    fn layer_error(
        &self,
        source: &LayerSource,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> PullError {
        let (layer, diff_id) = (source.blob.digest, source.diff_id);
        if self.stop.is_cancelled() {
            return PullError::Cancelled;
        }
        if is_corrupt(&error, &diff_id) {
            return PullError::DiffId { layer, diff_id };
        }
        PullError::Layer {
            layer,
            source: Box::new(error),
        }
    }
}

/// Hands a blob on as it comes.
async fn receive(mut blob: Blob, pieces: mpsc::Sender<Piece>) -> Result<(), RegistryError> {
    loop {
        let piece = match blob.next_chunk().await? {
            Some(bytes) => Piece::Bytes(bytes),
            None => Piece::End,
        };
        let is_end = matches!(piece, Piece::End);
        // Who does not take it any more has failed, and says so.
        if pieces.send(piece).await.is_err() || is_end {
            return Ok(());
        }
    }
}

/// Reads a layer that comes; fails when the work is to end.
struct Followed {
    inner: Follower,
    stop: Cancel,
    /// Whether it has not come to its end.
    broken: Arc<AtomicBool>,
}

impl Read for Followed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let read = self.inner.read(buffer);
        if let Err(error) = &read
            && error.kind() == io::ErrorKind::UnexpectedEof
        {
            self.broken.store(true, Ordering::Release);
        }
        read
    }
}

/// Whether the cause of an error is that these bytes have another digest.
fn is_corrupt(error: &(dyn std::error::Error + 'static), digest: &Digest) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        // What an I/O error wraps is not among its sources.
        let inner = error.downcast_ref::<io::Error>().and_then(|e| e.get_ref());
        let store = match inner {
            Some(inner) => inner.downcast_ref::<StoreError>(),
            None => error.downcast_ref::<StoreError>(),
        };
        if let Some(StoreError::Corrupt { expected, .. }) = store {
            return expected == digest;
        }
        next = error.source();
    }
    false
}

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), PullError> {
    let thread = thread::Builder::new().name(name.to_owned());
    let spawned = thread.spawn_scoped(scope, work);
    spawned.map(drop).map_err(PullError::Thread)
}
