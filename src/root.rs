//! Where the store is: what the flag says, else the environment, else the user's own place.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Chooses the store's directory: `flag` (`--root`), else `$MKIMG_ROOT`, else `/var/lib/mkimg` for root and
/// `$XDG_DATA_HOME/mkimg` or `~/.local/share/mkimg` for others. The answer is absolute; an empty or relative
/// `$XDG_DATA_HOME` counts as unset (XDG base directory specification).
pub fn choose(flag: Option<&Path>) -> Result<PathBuf, Error> {
    let variable = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let chosen = if let Some(path) = flag {
        path.to_owned()
    } else if let Some(path) = variable("MKIMG_ROOT") {
        path
    } else if rustix::process::geteuid().is_root() {
        PathBuf::from("/var/lib/mkimg")
    } else if let Some(data) = variable("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
        data.join("mkimg")
    } else if let Some(home) = variable("HOME") {
        home.join(".local/share/mkimg")
    } else {
        return Err(Error::NoStoreRoot);
    };
    std::path::absolute(&chosen).map_err(|source| Error::File {
        action: "find",
        path: chosen,
        source,
    })
}
