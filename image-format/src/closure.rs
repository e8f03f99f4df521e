//! Programs and all that the loader needs to start them, found by reading: the base by hand.
//!
//! ```text
//! bash ──► PT_INTERP  /lib64/ld-linux-x86-64.so.2 ──► /lib64 is a link, and is taken along
//!      ──► DT_NEEDED  libtinfo.so.6 ──► RPATH, RUNPATH, ld.so.cache, default directories
//!      ──► #!         of a script: its interpreter is a program, too
//! ```
//!
//! Nothing is executed, so the tree may be another machine's, or an enemy's: paths are resolved
//! inside it. What a program opens by itself (`dlopen`, data files) cannot be read off it.
//!
//! Source: ld.so(8), execve(2).

mod elf;
mod ldcache;
mod pack;
mod search;
mod tree;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use elf::Needs;
use search::{Origin, Search};
use tree::{Directory, Resolved, Tree, add_with_parents};

pub use tree::{Content, FileTree, Looked};

use crate::nearest::nearest;

/// The directories in which a program without a `/` in its name is looked for.
pub const PROGRAM_DIRECTORIES: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
/// The first bytes of a script, in which its interpreter must stand: as Linux (`BINPRM_BUF_SIZE`).
const SCRIPT_HEAD: u64 = 256;
/// Interpreters of interpreters: as Linux.
const MOST_INTERPRETERS: u32 = 5;

/// Why what a program needs cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// A file of the tree cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file, in the tree.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such program.
    #[error("no program {name:?}: {}", looked_for(name))]
    NoProgram {
        /// As it was asked for.
        name: String,
        /// The name that was probably meant.
        nearest: Option<String>,
    },
    /// The file is no program.
    #[error("{} is neither an ELF file nor a script with an interpreter", .0.display())]
    NotAProgram(PathBuf),
    /// An ELF file is damaged.
    #[error("{} is a damaged ELF file", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: object::read::Error,
    },
    /// What a file needs is not in the tree.
    #[error("{} needs {needed:?}, and the tree has none for its machine", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The library or interpreter.
        needed: String,
    },
    /// A script's interpreter is a script, whose interpreter is a script …
    #[error("{}: too many interpreters behind one another", .0.display())]
    Interpreters(PathBuf),
}

fn looked_for(name: &str) -> String {
    if name.contains('/') {
        "there is no such file".to_owned()
    } else {
        format!("it is not in {}", PROGRAM_DIRECTORIES.join(", "))
    }
}

impl ClosureError {
    /// What to do, where something better than the obvious is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoProgram {
                nearest: Some(name),
                ..
            } => Some(format!("did you mean {name:?}?")),
            Self::NoProgram { .. } => Some("give its path".to_owned()),
            _ => None,
        }
    }
}

/// What programs need, files and links, all of it out of one tree.
pub struct Closure<'a> {
    tree: Tree<'a>,
    /// By the path that was asked for.
    needed: BTreeMap<PathBuf, Needed>,
    search: Search,
    /// What files need that were read, by their resolved path; nothing where no ELF file is.
    read: BTreeMap<PathBuf, Option<Needs>>,
}

/// A file that a program needs. Paths are absolute in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Where it lies, without links.
    pub path: PathBuf,
    /// The links that lead there, each without links before its last name.
    pub links: Vec<PathBuf>,
    /// The program that finds it by where the program itself lies, if one does.
    pub beside: Option<PathBuf>,
}

impl<'a> Closure<'a> {
    /// An empty one, out of the tree with this root.
    ///
    /// # Errors
    /// When the tree's configuration of the loader cannot be read.
    pub fn new(root: &Path) -> Result<Self, ClosureError> {
        Self::of(Directory(root.to_owned()))
    }

    /// An empty one, out of any tree.
    ///
    /// # Errors
    /// As [`Closure::new`].
    pub fn of(files: impl FileTree + 'a) -> Result<Self, ClosureError> {
        let tree = Tree::new(Box::new(files));
        let search = Search::new(&tree)?;
        Ok(Self {
            tree,
            needed: BTreeMap::new(),
            search,
            read: BTreeMap::new(),
        })
    }

    /// Adds a program with all it needs. A name without a `/` stands for every file of that name
    /// in [`PROGRAM_DIRECTORIES`], so that `sh` is there as `/bin/sh` and as `/usr/bin/sh`.
    ///
    /// # Errors
    /// When there is no such program, or something it needs is missing.
    pub fn add_program(&mut self, name: &str) -> Result<(), ClosureError> {
        self.add_interpreted(name, 0)
    }

    /// Adds what a program needs, but not the program itself. The path is absolute and without
    /// links.
    ///
    /// # Errors
    /// When it is no program, or something it needs is missing.
    pub fn add_needs_of(&mut self, program: &Path) -> Result<(), ClosureError> {
        self.add_needs(program, 0)
    }

    /// Adds the libraries that a program or library needs; false for what is no ELF file. The path
    /// is absolute and without links.
    ///
    /// # Errors
    /// When one is missing.
    pub fn add_libraries_of(&mut self, file: &Path) -> Result<bool, ClosureError> {
        self.add_libraries(file)
    }

    /// What is needed, by the paths that are asked for.
    pub fn needed(&self) -> impl Iterator<Item = (&Path, &Needed)> {
        let needed = self.needed.iter();
        needed.map(|(asked, needed)| (asked.as_path(), needed))
    }

    /// The paths, absolute in the tree, sorted; directories included.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        for needed in self.needed.values() {
            for path in needed.links.iter().chain([&needed.path]) {
                add_with_parents(&mut paths, path);
            }
        }
        paths
    }

    fn add_interpreted(&mut self, name: &str, depth: u32) -> Result<(), ClosureError> {
        let candidates: Vec<PathBuf> = if name.contains('/') {
            vec![Path::new("/").join(name)]
        } else {
            let dirs = PROGRAM_DIRECTORIES.iter();
            dirs.map(|dir| Path::new(dir).join(name)).collect()
        };
        let mut found = false;
        for path in candidates {
            let Some(resolved) = self.resolve(&path)? else {
                continue;
            };
            if !resolved.is_file() {
                continue;
            }
            found = true;
            let program = resolved.path.clone();
            self.add(&path, resolved, None);
            self.add_needs(&program, depth)?;
        }
        if found {
            return Ok(());
        }
        Err(ClosureError::NoProgram {
            name: name.to_owned(),
            nearest: self.nearest_program(name),
        })
    }

    /// Adds what a program needs, whatever it is.
    fn add_needs(&mut self, program: &Path, depth: u32) -> Result<(), ClosureError> {
        match self.add_libraries(program)? {
            true => Ok(()),
            false => self.add_script(program, depth),
        }
    }

    fn add_script(&mut self, path: &Path, depth: u32) -> Result<(), ClosureError> {
        let mut head = Vec::new();
        let file = self.tree.open(path).map_err(read_error(path))?;
        let read = file.take(SCRIPT_HEAD).read_to_end(&mut head);
        read.map_err(read_error(path))?;
        let Some(line) = head.strip_prefix(b"#!") else {
            return Err(ClosureError::NotAProgram(path.to_owned()));
        };
        if depth == MOST_INTERPRETERS {
            return Err(ClosureError::Interpreters(path.to_owned()));
        }
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_ascii_whitespace();
        let Some(interpreter) = words.next() else {
            return Err(ClosureError::NotAProgram(path.to_owned()));
        };
        let missing = |error, needed: &str| match error {
            ClosureError::NoProgram { .. } => ClosureError::Missing {
                path: path.to_owned(),
                needed: needed.to_owned(),
            },
            other => other,
        };
        self.add_interpreted(interpreter, depth + 1)
            .map_err(|error| missing(error, interpreter))?;
        if !interpreter.ends_with("/env") {
            return Ok(());
        }
        // `env` finds the real one: behind its options and variables.
        let program = words.find(|word| !word.starts_with('-') && !word.contains('='));
        match program {
            Some(name) => self
                .add_interpreted(name, depth + 1)
                .map_err(|error| missing(error, name)),
            None => Ok(()),
        }
    }

    /// Adds what a program and its libraries need; false if it is no ELF file.
    fn add_libraries(&mut self, program: &Path) -> Result<bool, ClosureError> {
        let Some(needs) = self.needs(program)? else {
            return Ok(false);
        };
        // As the loader: breadth first, and a name that is loaded is not looked for again.
        let mut loaded: BTreeSet<OsString> = BTreeSet::new();
        let mut todo = VecDeque::from([Origin::new(program, needs, &[])]);
        while let Some(origin) = todo.pop_front() {
            if let Some(interpreter) = &origin.needs().interpreter {
                let found = self.resolve(interpreter)?;
                let found = found.ok_or_else(|| origin.missing(interpreter.as_os_str()))?;
                self.add(interpreter, found, None);
                loaded.extend(interpreter.file_name().map(ToOwned::to_owned));
            }
            for name in &origin.needs().libraries {
                if loaded.insert(name.clone()) {
                    let (path, needs) = self.library(&origin, name)?;
                    todo.push_back(Origin::new(&path, needs, origin.chain()));
                }
            }
        }
        Ok(true)
    }

    /// Finds and adds a library.
    fn library(&mut self, origin: &Origin, name: &OsStr) -> Result<(PathBuf, Needs), ClosureError> {
        for candidate in self.search.candidates(&self.tree, origin, name)? {
            let Some(found) = self.resolve(&candidate.path)? else {
                continue;
            };
            if !found.is_file() {
                continue;
            }
            let needs = self.needs(&found.path)?;
            let Some(needs) = needs.filter(|needs| needs.abi == origin.needs().abi) else {
                continue;
            };
            let path = found.path.clone();
            let beside = candidate.beside_program.then(|| origin.program());
            self.add(&candidate.path, found, beside);
            if candidate.only_in_cache {
                // Found again in the image only with the cache.
                self.add_file(Path::new(search::LD_CACHE))?;
            }
            return Ok((path, needs));
        }
        Err(origin.missing(name))
    }

    /// What a file needs, read once.
    fn needs(&mut self, path: &Path) -> Result<Option<Needs>, ClosureError> {
        if let Some(known) = self.read.get(path) {
            return Ok(known.clone());
        }
        let file = self.tree.open(path).map_err(read_error(path))?;
        let needs = elf::needs(file).map_err(|source| ClosureError::Elf {
            path: path.to_owned(),
            source,
        })?;
        self.read.insert(path.to_owned(), needs.clone());
        Ok(needs)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ClosureError> {
        if let Some(found) = self.resolve(path)? {
            self.add(path, found, None);
        }
        Ok(())
    }

    fn add(&mut self, asked: &Path, found: Resolved, beside: Option<&Path>) {
        let Resolved { path, links, .. } = found;
        let needed = self.needed.entry(asked.to_owned());
        let needed = needed.or_insert(Needed {
            path,
            links,
            beside: None,
        });
        needed.beside = needed.beside.take().or(beside.map(Path::to_owned));
    }

    fn resolve(&self, path: &Path) -> Result<Option<Resolved>, ClosureError> {
        self.tree.resolve(path).map_err(read_error(path))
    }

    fn nearest_program(&self, name: &str) -> Option<String> {
        let mut names = BTreeSet::new();
        for dir in PROGRAM_DIRECTORIES {
            let Ok(Some(dir)) = self.tree.resolve(Path::new(dir)) else {
                continue;
            };
            let there = self.tree.files().names(&dir.path).into_iter();
            names.extend(there.filter_map(|name| name.into_string().ok()));
        }
        nearest(name, names)
    }
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> ClosureError + use<> {
    let path = path.to_owned();
    move |source| ClosureError::Read { path, source }
}

/// The parts of a list with `:` between; an empty part counts for nothing here.
fn parts(list: &OsStr) -> impl Iterator<Item = &OsStr> {
    let parts = list.as_bytes().split(|byte| *byte == b':');
    parts.filter(|part| !part.is_empty()).map(OsStr::from_bytes)
}

#[cfg(test)]
mod tests;
