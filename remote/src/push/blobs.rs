//! Bringing blobs to a repository: what it has is left, what another repository of the registry has is taken
//! over, and the rest is sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::reference::Reference;

use super::packers::Packers;
use super::plan::{Item, Packed};
use super::{Arrival, Push, PushError, Pushing, side_by_side};
use crate::registry::{Repository, Source};

/// As many blobs are on their way at once, which is docker's number.
const MOST_AT_ONCE: usize = 5;
/// So many other repositories are tried.
const MOST_MOUNTS: usize = 3;
/// So many bytes are read at once.
const PIECE: usize = 256 << 10;

/// The blobs of one push.
pub(super) struct Blobs<'a> {
    pub push: &'a Push<'a>,
    pub repository: &'a Repository,
    /// The name that is pushed to.
    pub name: &'a Reference,
    pub packers: &'a Packers<'a>,
    /// Layers that were compressed before.
    pub known: &'a Packed,
}

impl Blobs<'_> {
    /// Brings all of them there, and says what the layers are that were to be compressed.
    pub async fn send(&self, items: &[Item]) -> Result<Packed, PushError> {
        let one = |(number, item)| self.send_one(number, item);
        let all = items.iter().enumerate().map(one);
        let packed = side_by_side::all(all, MOST_AT_ONCE).await?;
        Ok(packed.into_iter().flatten().collect())
    }

    async fn send_one(
        &self,
        number: usize,
        item: &Item,
    ) -> Result<Option<(Digest, Descriptor)>, PushError> {
        let Some(diff_id) = item.packed else {
            self.bring(number, &item.blob, None).await?;
            return Ok(None);
        };
        let packed = match self.known.get(&diff_id) {
            Some(known) => self.bring(number, known, Some((item, diff_id))).await?,
            None => {
                let packed = self.packers.pack(number, &item.blob, diff_id).await?;
                self.bring(number, &packed, None).await?
            }
        };
        Ok(Some((diff_id, packed)))
    }

    /// Brings a blob there. What is to be sent and is gone is compressed again where it came from that.
    async fn bring(
        &self,
        number: usize,
        blob: &Descriptor,
        again: Option<(&Item, Digest)>,
    ) -> Result<Descriptor, PushError> {
        let mut blob = blob.clone();
        let mut how = self.find(&blob.digest).await?;
        if how.is_none() && self.push.store.blob_size(&blob.digest)? != Some(blob.size) {
            let packed = match again {
                Some((item, diff_id)) => self.packers.pack(number, &item.blob, diff_id).await?,
                None if self.push.store.elsewhere(&blob.digest)?.is_some() => {
                    self.packers.fetch(number, &blob).await?;
                    blob.clone()
                }
                None => return Err(PushError::Missing { blob: blob.digest }),
            };
            // Another version of mkimg may have compressed it before.
            if packed.digest != blob.digest {
                blob = packed;
                how = self.find(&blob.digest).await?;
            }
        }
        let store = self.push.store;
        let arrival = match &how {
            Some(Found::Present) => Arrival::Present,
            Some(Found::Mounted(from)) => Arrival::Mounted(from),
            None => {
                let source = BlobFile(store.open_blob(&blob.digest)?);
                let of = blob.size;
                let mut sent = |bytes| {
                    let blob = number;
                    (self.push.hear)(Pushing::Sent { blob, bytes, of });
                };
                let upload = self
                    .repository
                    .upload_blob(&blob.digest, of, &source, &mut sent);
                upload.await?;
                Arrival::Sent
            }
        };
        (self.push.hear)(Pushing::Done {
            blob: number,
            how: arrival,
        });
        let (registry, repository) = (self.name.registry(), self.name.repository());
        store.note_origin(&blob.digest, registry, repository)?;
        Ok(blob)
    }

    /// Whether the repository has a blob, or could take it over.
    async fn find(&self, digest: &Digest) -> Result<Option<Found>, PushError> {
        if self.repository.has_blob(digest).await? {
            return Ok(Some(Found::Present));
        }
        let own = self.name.repository();
        let store = self.push.store;
        let mut origins = store.origins(digest, self.name.registry());
        // A layer that was not fetched when its image was pulled need not be now.
        let elsewhere = store.elsewhere(digest)?.map(|elsewhere| elsewhere.from);
        let same = elsewhere.filter(|from| from.registry() == self.name.registry());
        if let Some(from) = same.map(|from| from.repository().to_owned()) {
            origins.retain(|origin| *origin != from);
            origins.insert(0, from);
        }
        let others = origins.into_iter().filter(|origin| origin != own);
        for origin in others.take(MOST_MOUNTS) {
            if self.repository.mount_blob(digest, &origin).await? {
                return Ok(Some(Found::Mounted(origin)));
            }
        }
        Ok(None)
    }
}

/// How a repository has a blob that was not sent.
enum Found {
    Present,
    Mounted(String),
}

/// A blob of the store.
struct BlobFile(File);

impl Source for BlobFile {
    async fn read_at(&self, offset: u64) -> io::Result<Bytes> {
        let mut piece = vec![0; PIECE];
        let read = self.0.read_at(&mut piece, offset)?;
        piece.truncate(read);
        Ok(piece.into())
    }
}
