//! What can go wrong inside: typed, because it crosses from the child to the parent as it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What the child was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Reading what the parent sent.
    Receive,
    /// Making the namespaces.
    Namespaces,
    /// Making the process that becomes pid 1, or the payload's.
    Fork,
    /// Tying the child's life to the parent's.
    Lifeline,
    /// Bringing the loopback interface up.
    Loopback,
    /// Setting the host name.
    Hostname,
    /// Cutting mount propagation to the host.
    Propagation,
    /// Mounting the root file system.
    Root,
    /// Mounting `/proc`.
    Proc,
    /// Mounting `/sys`.
    Sys,
    /// Mounting `/dev` and what is in it.
    Dev,
    /// Mounting a volume or a file of the specification.
    Mount,
    /// Making the target of a mount inside the root.
    Target,
    /// Hiding a path.
    Mask,
    /// Making a path read-only.
    ReadOnly,
    /// Making the new root the root.
    Pivot,
    /// Making or entering the working directory.
    WorkingDirectory,
    /// Opening the terminal.
    Terminal,
    /// Giving up the parent's session keyring.
    Keyring,
    /// Reading the root's user or group file.
    UserFiles,
    /// Becoming the user.
    Identity,
    /// Giving up capabilities.
    Capabilities,
    /// Loading the system call filter.
    Seccomp,
    /// Preparing the standard streams, signals and descriptors of the payload.
    Payload,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Receive => "read the sandbox's specification",
            Step::Namespaces => "make the namespaces",
            Step::Fork => "make a process",
            Step::Lifeline => "tie the sandbox's life to mkimg's",
            Step::Loopback => "bring up the loopback interface",
            Step::Hostname => "set the host name",
            Step::Propagation => "make the mounts private",
            Step::Root => "mount the root file system",
            Step::Proc => "mount /proc",
            Step::Sys => "mount /sys",
            Step::Dev => "mount /dev",
            Step::Mount => "mount",
            Step::Target => "make the mount's target inside the root file system",
            Step::Mask => "hide a path",
            Step::ReadOnly => "make a path read-only",
            Step::Pivot => "enter the root file system",
            Step::WorkingDirectory => "enter the working directory",
            Step::Terminal => "open the terminal",
            Step::Keyring => "make a session keyring",
            Step::UserFiles => "read the root file system's users",
            Step::Identity => "become the user",
            Step::Capabilities => "give up capabilities",
            Step::Seccomp => "load the system call filter",
            Step::Payload => "prepare the program's descriptors and signals",
        })
    }
}

/// How the sandbox could not be made, as the child saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// A system call failed.
    #[error("cannot {step}{}: {}", shown(path), io::Error::from_raw_os_error(*errno))]
    System {
        /// What it was for.
        step: Step,
        /// On which path, where one is known.
        path: Option<PathBuf>,
        /// The kernel's answer.
        errno: i32,
    },
    /// What the parent sent cannot be understood.
    #[error("the sandbox's specification cannot be read: {reason}")]
    Specification {
        /// The parser's words.
        reason: String,
    },
    /// The root's `/etc/passwd` has no such user.
    #[error("no user {name:?} in the image's /etc/passwd")]
    UnknownUser {
        /// The name as given.
        name: String,
    },
    /// The root's `/etc/group` has no such group.
    #[error("no group {name:?} in the image's /etc/group")]
    UnknownGroup {
        /// The name as given.
        name: String,
    },
    /// The file that users or groups are looked up in is larger than any honest one.
    #[error("{}: larger than {limit} bytes", path.display())]
    OversizedFile {
        /// Its path inside the root.
        path: PathBuf,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// The user namespace has no such id.
    #[error(
        "id {id} does not exist here: only ids below {ids} are mapped; a larger range in /etc/subuid and /etc/subgid brings more"
    )]
    UnmappedId {
        /// The user or group id.
        id: u32,
        /// How many ids are mapped.
        ids: u64,
    },
    /// A limit that cannot be had.
    #[error("the limit {name} cannot be set: {}{}", io::Error::from_raw_os_error(*errno), match most {
        Some(most) => format!("; {most} is the most that this user may set"),
        None => String::new(),
    })]
    Limit {
        /// Its name.
        name: String,
        /// The most that it can be; `None` for whatever is wanted.
        most: Option<u64>,
        /// The kernel's answer.
        errno: i32,
    },
    /// A mount onto what the kernel shows of its processes: a program that reads there would be
    /// deceived, and a wall with it.
    #[error("{}: nothing can be mounted below /proc", path.display())]
    OntoProc {
        /// The path inside the root.
        path: PathBuf,
    },
    /// A file onto a directory, or the other way round.
    #[error("{}: a {} cannot be mounted onto a {}", path.display(), kind(*directory), kind(!*directory))]
    Mismatch {
        /// The path inside the root.
        path: PathBuf,
        /// Whether what was to be mounted is a directory.
        directory: bool,
    },
    /// The path to a mount's target leads through something that is no directory, or in circles.
    #[error("{}: cannot be made inside the root file system: {}", path.display(), io::Error::from_raw_os_error(*errno))]
    Unreachable {
        /// The path inside the root.
        path: PathBuf,
        /// The kernel's answer.
        errno: i32,
    },
    /// No such program.
    #[error("{program:?}: {}", if *.searched { "not found in $PATH" } else { "no such file or directory" })]
    NotFound {
        /// The program as given.
        program: String,
        /// Whether it was looked for in `PATH`.
        searched: bool,
    },
    /// A program whose interpreter or dynamic loader is missing.
    #[error("{program:?}: {} that it needs is not in the image", match interpreter {
        Some(name) => format!("the interpreter {name:?}"),
        None => "the dynamic loader".into(),
    })]
    NoInterpreter {
        /// The program as given.
        program: String,
        /// What a script names in its first line.
        interpreter: Option<String>,
    },
    /// A program that cannot be executed.
    #[error("{program:?}: cannot be executed: {}", io::Error::from_raw_os_error(*errno))]
    NotExecutable {
        /// The program as given.
        program: String,
        /// The kernel's answer.
        errno: i32,
    },
}

fn kind(directory: bool) -> &'static str {
    match directory {
        true => "directory",
        false => "file",
    }
}

fn shown(path: &Option<PathBuf>) -> String {
    match path {
        Some(path) => format!(" {}", path.display()),
        None => String::new(),
    }
}

impl Failure {
    /// The exit code by docker's custom: 127 for a program that is not there, 126 for one that
    /// cannot be executed, else 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::NotFound { .. } | Failure::NoInterpreter { .. } => 127,
            Failure::NotExecutable { .. } => 126,
            _ => 125,
        }
    }
}

/// Puts the step, and a path where there is one, beside a system call's answer.
pub(super) trait During<T> {
    fn during(self, step: Step) -> Result<T, Failure>;
    fn during_at(self, step: Step, path: impl AsRef<Path>) -> Result<T, Failure>;
}

impl<T> During<T> for rustix::io::Result<T> {
    fn during(self, step: Step) -> Result<T, Failure> {
        self.map_err(|errno| Failure::System {
            step,
            path: None,
            errno: errno.raw_os_error(),
        })
    }

    fn during_at(self, step: Step, path: impl AsRef<Path>) -> Result<T, Failure> {
        self.map_err(|errno| Failure::System {
            step,
            path: Some(path.as_ref().into()),
            errno: errno.raw_os_error(),
        })
    }
}
