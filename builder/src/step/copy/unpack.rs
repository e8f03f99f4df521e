//! The tree of an archive onto a root file system: other rules than those of a copy.
//!
//! As docker has it, the destination is a directory, and the root of all that happens: a symbolic
//! link that is there leads nowhere out of it. What the archive names takes the place of whatever is
//! there, but a directory that is there stays; directories that it only implies may be links.

use super::CopyError;
use super::resolve::{Seen, parent, resolve};
use super::source::{Source, SourceKind, join};
use super::target::{Placed, Target, is_below};

impl Target<'_> {
    /// Puts what is in an archive, whose number among the sources is given, below `destination`.
    ///
    /// # Errors
    /// When something is in the way.
    pub(super) fn unpack(
        &mut self,
        number: usize,
        source: &Source,
        destination: &[u8],
    ) -> Result<(), CopyError> {
        let root = self.resolve(destination)?;
        self.make_root(&root)?;
        // The directories of the archive above an entry, and where each is.
        let mut above: Vec<(&[u8], Vec<u8>)> = Vec::new();
        for (place, entry) in source.entries.iter().enumerate() {
            let below = entry.below.as_slice();
            if below.is_empty() {
                continue;
            }
            while above.last().is_some_and(|(dir, _)| !is_below(below, dir)) {
                above.pop();
            }
            let into = above.last().map_or(&root, |(_, into)| into);
            let mut path = join(into, super::resolve::file_name(below));
            if !matches!(entry.kind, SourceKind::Dir) {
                if self.seen(&path) == Some(Seen::Dir) {
                    self.remove_below(&path);
                }
                self.replace(&path);
                let copied = Placed::Copied {
                    source: number,
                    entry: place,
                };
                self.place(&path, copied);
                continue;
            }
            if entry.implied {
                path = self.inside(&root, &path)?;
            }
            match (self.seen(&path), entry.implied) {
                (Some(Seen::Dir), true) => {}
                (Some(Seen::Other | Seen::Symlink(_)), true) => {
                    return Err(self.not_a_directory(&path));
                }
                (Some(Seen::Dir), false) => {
                    self.place_dir(&path, source, entry, Some(&Seen::Dir))?;
                }
                (Some(_), false) => {
                    self.replace(&path);
                    self.place_dir(&path, source, entry, None)?;
                }
                (None, _) => self.place_dir(&path, source, entry, None)?,
            }
            above.push((below, path));
        }
        Ok(())
    }

    /// Where a path below `root` leads to, with `root` as the root of all links.
    fn inside(&self, root: &[u8], path: &[u8]) -> Result<Vec<u8>, CopyError> {
        let below = path.strip_prefix(root).unwrap_or(path);
        let resolved = resolve(below, |path| self.seen(&join(root, path)));
        let resolved = resolved.map_err(|_| self.looping(path))?;
        let resolved = join(root, &resolved);
        // What a link leads to may be missing, and what is above it, too.
        let mut missing = parent(&resolved);
        while missing.len() > root.len() && self.seen(missing).is_none() {
            missing = parent(missing);
        }
        match self.seen(missing) {
            Some(Seen::Dir) | None => Ok(resolved),
            Some(_) => Err(self.not_a_directory(missing)),
        }
    }
}
