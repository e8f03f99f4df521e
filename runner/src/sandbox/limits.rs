//! The payload's resource limits, by the names that docker has for them.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::failure::Failure;
use super::spec::Limit;

/// The limits of Linux, by docker's names.
pub const NAMES: &[(&str, Resource)] = &[
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// Sets the limits of this process.
pub(super) fn set(limits: &[Limit]) -> Result<(), Failure> {
    for limit in limits {
        let refused = |errno: Errno, most| Failure::Limit {
            name: limit.name.clone(),
            most,
            errno: errno.raw_os_error(),
        };
        let known = NAMES.iter().find(|(name, _)| *name == limit.name);
        let Some((_, resource)) = known else {
            return Err(refused(Errno::INVAL, None));
        };
        let new = Rlimit {
            current: limit.soft,
            maximum: limit.hard,
        };
        setrlimit(*resource, new).map_err(|errno| refused(errno, getrlimit(*resource).maximum))?;
    }
    Ok(())
}
