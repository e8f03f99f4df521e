//! Cache mounts as one tar, so that they outlive a machine.
//!
//! ```text
//! <key>/<n>/mount.json   the id, and when it was last used
//! <key>/<n>/data         what the command sees
//! ```
//!
//! It is written as layers are, but with times as they are, and read as layers are, whoever wrote
//! it: nothing of it is seen before all of it is there, and names in it become no paths of the store.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use image_format::layer::Timestamp;
use image_format::layer::apply::{ApplyError, Target, apply};
use image_format::layer::compression::decompress;
use image_format::layer::pack::{PackError, pack_trees};
use image_format::layout::TmpDir;

use super::list::record;
use super::{CacheMountError, CacheMounts, DATA, Identity, Listed, RECORD, failed, names, numbers};

/// Why an archive of cache mounts cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CacheArchiveError {
    /// A directory cannot be packed, or the archive cannot be written.
    #[error("cannot save the cache mounts")]
    Pack(#[from] PackError),
    /// The archive cannot be unpacked from its compression.
    #[error("cannot decompress the archive")]
    Decompress(#[source] io::Error),
    /// The archive is malformed or hostile, or the file system fails.
    #[error("cannot unpack the archive")]
    Apply(#[from] ApplyError),
    /// The archive holds something else, or nothing.
    #[error("{} is not what mkimg cache save writes", .0.display())]
    Foreign(PathBuf),
    /// The store failed, or a cache mount is in use.
    #[error(transparent)]
    Mount(#[from] CacheMountError),
}

/// The directories of one cache mount, unpacked and not yet seen by anybody.
struct Loaded {
    identity: Identity,
    dir: PathBuf,
}

impl CacheMounts {
    /// Writes these cache mounts as a tar. Nobody can use them meanwhile.
    ///
    /// # Errors
    /// When one is in use, is removed meanwhile or holds what no layer can hold, or reading or
    /// writing fails.
    pub fn save<W: Write>(&self, mounts: &[Listed], out: W) -> Result<W, CacheArchiveError> {
        let guard = self.guard()?;
        let locks = mounts.iter().map(|mount| self.lock_or_refuse(mount));
        let _locks = locks.collect::<Result<Vec<_>, _>>()?;
        drop(guard);
        let trees = mounts.iter();
        let mut trees: Vec<_> = trees
            .map(|mount| (PathBuf::from(mount.key.hex()), self.dir(&mount.key)))
            .collect();
        trees.sort();
        let trees = trees
            .iter()
            .map(|(name, dir)| (name.as_path(), dir.as_path()));
        // Times are what tells a cache what is old: none is cut.
        let never = Timestamp::from_secs(i64::MAX);
        Ok(pack_trees(trees, out, never)?)
    }

    /// Reads a tar that [`CacheMounts::save`] wrote, plain, in gzip or in zstd, and gives the ids of
    /// what it holds. Each takes the place of what there was of it, at once.
    ///
    /// # Errors
    /// When it is not such a tar, one of what it holds is in use, or the file system fails.
    pub fn load(
        &self,
        archive: impl Read + Send + 'static,
    ) -> Result<Vec<String>, CacheArchiveError> {
        let tar = decompress(archive).map_err(CacheArchiveError::Decompress)?;
        let tmp_dir = || self.store.tmp_dir().map_err(CacheMountError::from);
        let (unpacked, made) = (tmp_dir()?, tmp_dir()?);
        apply(tar, unpacked.path(), Target::InPlace)?;
        let loaded = self.sort_out(unpacked.path(), made.path())?;
        if loaded.is_empty() {
            return Err(CacheArchiveError::Foreign("the archive".into()));
        }
        let mut ids = Vec::new();
        for Loaded { identity, dir } in loaded {
            self.put(&identity, &dir)?;
            ids.push(identity.id);
        }
        Ok(ids)
    }

    /// Takes what is known out of what was unpacked: records that read, and the data beside them.
    fn sort_out(&self, from: &Path, to: &Path) -> Result<Vec<Loaded>, CacheArchiveError> {
        let mut loaded = Vec::<Loaded>::new();
        let foreign = |path: &Path| {
            let inside = path.strip_prefix(from).unwrap_or(path);
            CacheArchiveError::Foreign(inside.to_owned())
        };
        for name in names(from)? {
            let (old, new) = (from.join(&name), to.join(loaded.len().to_string()));
            if !is_dir(&old) {
                return Err(foreign(&old));
            }
            let mut identity = None;
            let numbers = numbers(&old)?;
            if numbers.len() != names(&old)?.len() {
                return Err(foreign(&old));
            }
            for number in numbers {
                let one = old.join(number.to_string());
                let record = is_dir(&one).then(|| record(&one)).flatten();
                let Some(record) = record.filter(|_| is_dir(&one.join(DATA))) else {
                    return Err(foreign(&one));
                };
                if identity.get_or_insert_with(|| record.identity.clone()) != &record.identity {
                    return Err(foreign(&one));
                }
                // A new directory, for what the archive says of the old one is not to be trusted.
                let own = new.join(number.to_string());
                let mut make = fs::DirBuilder::new();
                make.recursive(true).mode(0o700);
                make.create(&own).map_err(failed("make", &own))?;
                record.write(&self.store, &own.join(RECORD))?;
                let data = one.join(DATA);
                fs::rename(&data, own.join(DATA)).map_err(failed("move", &data))?;
            }
            let Some(identity) = identity else {
                return Err(foreign(&old));
            };
            if loaded.iter().any(|other| other.identity == identity) {
                return Err(foreign(&old));
            }
            loaded.push(Loaded { identity, dir: new });
        }
        Ok(loaded)
    }

    /// Puts the directories of a cache mount in the place of those there are.
    fn put(&self, identity: &Identity, new: &Path) -> Result<(), CacheMountError> {
        let key = identity.key()?;
        let dir = self.dir(&key);
        let old: TmpDir = self.store.tmp_dir()?;
        let _guard = self.guard()?;
        let Some(_locks) = self.lock(&key)? else {
            return Err(CacheMountError::InUse(identity.id.clone()));
        };
        self.take(&key, &old)?;
        fs::rename(new, &dir).map_err(failed("make", &dir))
    }
}

fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}
