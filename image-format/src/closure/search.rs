//! Where the loader looks for a library, in its order.
//!
//! Source: ld.so(8), "DESCRIPTION" and "Dynamic string tokens"; for musl, its `ldso/dynlink.c`.
//! `LD_LIBRARY_PATH` belongs to who calls, not to the tree, and does not count.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::elf::{Abi, Needs};
use super::ldcache::LdCache;
use super::tree::Tree;
use super::{ClosureError, parts, read_error};

/// The cache of glibc's loader.
pub(super) const LD_CACHE: &str = "/etc/ld.so.cache";
/// The most bytes of the loader's configuration that are read.
const LARGEST: u64 = 64 << 20;
const MUSL_DIRECTORIES: &str = "/lib:/usr/local/lib:/usr/lib";

/// A file whose needs are looked for, and those that loaded it.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The file itself last, the program first.
    chain: Vec<(PathBuf, Needs)>,
}

impl Origin {
    pub(super) fn new(path: &Path, needs: Needs, loaders: &[(PathBuf, Needs)]) -> Self {
        let mut chain = loaders.to_vec();
        chain.push((path.to_owned(), needs));
        Self { chain }
    }

    pub(super) fn chain(&self) -> &[(PathBuf, Needs)] {
        &self.chain
    }

    fn file(&self) -> &(PathBuf, Needs) {
        &self.chain[self.chain.len() - 1]
    }

    /// The program that all this is for.
    pub(super) fn program(&self) -> &Path {
        &self.chain[0].0
    }

    pub(super) fn needs(&self) -> &Needs {
        &self.file().1
    }

    /// The loader of the program that all this is for.
    fn interpreter(&self) -> Option<&Path> {
        self.chain[0].1.interpreter.as_deref()
    }

    pub(super) fn missing(&self, needed: &OsStr) -> ClosureError {
        ClosureError::Missing {
            path: self.file().0.clone(),
            needed: needed.to_string_lossy().into_owned(),
        }
    }
}

/// A place where a library could be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub path: PathBuf,
    /// Whether only the loader's cache leads there.
    pub only_in_cache: bool,
    /// Whether it lies where it does because the program lies where it does (`$ORIGIN`).
    pub beside_program: bool,
}

/// The loader's configuration.
#[derive(Debug)]
pub(super) struct Search {
    cache: LdCache,
}

impl Search {
    pub(super) fn new(tree: &Tree<'_>) -> Result<Self, ClosureError> {
        let path = Path::new(LD_CACHE);
        let bytes = tree.read(path, LARGEST).map_err(read_error(path))?;
        Ok(Self {
            cache: LdCache::parse(&bytes),
        })
    }

    /// Where the library could be that `origin` needs under this name, best first.
    pub(super) fn candidates(
        &self,
        tree: &Tree<'_>,
        origin: &Origin,
        name: &OsStr,
    ) -> Result<Vec<Candidate>, ClosureError> {
        let (file, needs) = origin.file();
        let program = origin.program();
        let plain = |path| Candidate {
            path,
            only_in_cache: false,
            beside_program: false,
        };
        if name.as_bytes().contains(&b'/') {
            let paths = expand(name, file, needs.abi).into_iter();
            let paths = paths.map(|path| Candidate {
                beside_program: file == program && names_origin(name),
                ..plain(Path::new("/").join(path))
            });
            return Ok(paths.collect());
        }
        let mut dirs = Vec::new();
        if needs.runpath.is_none() {
            for (file, needs) in origin.chain.iter().rev() {
                let own = needs.rpath.iter().filter(|_| needs.runpath.is_none());
                own.for_each(|list| add_dirs(&mut dirs, list, file, program, needs.abi));
            }
        }
        if let Some(list) = &needs.runpath {
            add_dirs(&mut dirs, list, file, program, needs.abi);
        }
        let dirs = dirs.into_iter();
        let mut candidates: Vec<_> = dirs
            .map(|(dir, beside_program)| Candidate {
                beside_program,
                ..plain(dir.join(name))
            })
            .collect();
        if needs.no_default_directories {
            return Ok(candidates);
        }
        if let Some(architecture) = musl(origin.interpreter()) {
            let dirs = Self::musl_directories(tree, architecture)?;
            candidates.extend(parts(&dirs).map(|dir| plain(Path::new(dir).join(name))));
            return Ok(candidates);
        }
        let defaults = default_directories(needs.abi);
        candidates.extend(self.cache.find(name).map(|path| Candidate {
            only_in_cache: !defaults.iter().any(|dir| path.parent() == Some(dir)),
            ..plain(path.clone())
        }));
        candidates.extend(defaults.iter().map(|dir| plain(dir.join(name))));
        Ok(candidates)
    }

    fn musl_directories(tree: &Tree<'_>, architecture: &str) -> Result<OsString, ClosureError> {
        let path = PathBuf::from(format!("/etc/ld-musl-{architecture}.path"));
        let bytes = tree.read(&path, LARGEST).map_err(read_error(&path))?;
        if bytes.is_empty() {
            return Ok(MUSL_DIRECTORIES.into());
        }
        let list = bytes.iter().map(|byte| match byte {
            b'\n' => b':',
            byte => *byte,
        });
        Ok(OsString::from_vec(list.collect()))
    }
}

/// The architecture in the name of musl's loader; `None` for another loader.
fn musl(interpreter: Option<&Path>) -> Option<&str> {
    let name = interpreter?.file_name()?.to_str()?;
    name.strip_prefix("ld-musl-")?.strip_suffix(".so.1")
}

/// Adds the directories of a list of `file`, each with whether it is beside the program.
fn add_dirs(dirs: &mut Vec<(PathBuf, bool)>, list: &OsStr, file: &Path, program: &Path, abi: Abi) {
    for dir in parts(list) {
        let beside_program = file == program && names_origin(dir);
        let expanded = expand(dir, file, abi).into_iter();
        // A relative one would depend on where the program is started.
        let expanded = expanded.filter(|dir| dir.is_absolute());
        dirs.extend(expanded.map(|dir| (dir, beside_program)));
    }
}

/// Whether what `$ORIGIN` stands for counts.
fn names_origin(text: &OsStr) -> bool {
    replace(text.as_bytes(), "ORIGIN", b"") != text.as_bytes()
}

/// Puts in what `$ORIGIN`, `$LIB` and `$PLATFORM` stand for. `$LIB` was chosen when the loader was
/// built: all that are common are tried.
fn expand(text: &OsStr, file: &Path, abi: Abi) -> Vec<PathBuf> {
    let origin = file.parent().unwrap_or(Path::new("/"));
    let multiarch = abi.triplet().map(|triplet| format!("lib/{triplet}"));
    let libs = multiarch.iter().map(String::as_str).chain(["lib64", "lib"]);
    let mut expanded: Vec<PathBuf> = Vec::new();
    for lib in libs {
        let mut path = replace(text.as_bytes(), "ORIGIN", origin.as_os_str().as_bytes());
        path = replace(&path, "LIB", lib.as_bytes());
        path = replace(&path, "PLATFORM", abi.platform().as_bytes());
        let path = PathBuf::from(OsString::from_vec(path));
        if !expanded.contains(&path) {
            expanded.push(path);
        }
    }
    expanded
}

/// Replaces `$NAME` and `${NAME}`.
fn replace(text: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    let (bare, braced) = (format!("${name}"), format!("${{{name}}}"));
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let token = [bare.as_bytes(), braced.as_bytes()]
            .into_iter()
            .find(|token| rest.starts_with(token));
        if let Some(token) = token {
            out.extend(value);
            rest = &rest[token.len()..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

/// Where loaders look that were built for this machine: Debian's, then all others' directories.
fn default_directories(abi: Abi) -> Vec<PathBuf> {
    let triplet = abi.triplet().into_iter();
    let multiarch =
        triplet.flat_map(|triplet| ["/lib", "/usr/lib"].map(|dir| Path::new(dir).join(triplet)));
    let plain = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"];
    multiarch.chain(plain.map(PathBuf::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced() {
        let expanded = expand(
            OsStr::new("${ORIGIN}/../$LIB/x"),
            Path::new("/opt/bin/a"),
            Abi::default(),
        );
        assert_eq!(
            expanded,
            ["/opt/bin/../lib64/x", "/opt/bin/../lib/x"].map(PathBuf::from)
        );
        assert_eq!(replace(b"$ORIGI", "ORIGIN", b"x"), b"$ORIGI");
    }

    #[test]
    fn musl_is_told_by_its_loader() {
        assert_eq!(
            musl(Some(Path::new("/lib/ld-musl-x86_64.so.1"))),
            Some("x86_64")
        );
        assert_eq!(musl(Some(Path::new("/lib64/ld-linux-x86-64.so.2"))), None);
    }
}
