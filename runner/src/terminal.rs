//! Terminals: their size, raw mode for as long as it is wanted, and the pseudo-terminals of payloads.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::termios::{self, OptionalActions, Termios, Winsize};
use serde::{Deserialize, Serialize};

/// Why a terminal could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// The descriptor is not a terminal, or its settings cannot be read.
    #[error("cannot read the terminal's settings")]
    Read(#[source] Errno),
    /// The settings cannot be changed.
    #[error("cannot change the terminal's settings")]
    Change(#[source] Errno),
}

/// A terminal's size in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

impl Default for WindowSize {
    /// What a terminal has had since there were any.
    fn default() -> Self {
        Self {
            rows: 24,
            columns: 80,
        }
    }
}

impl WindowSize {
    /// The size of the terminal that `fd` is.
    pub fn of(fd: impl AsFd) -> Result<Self, TerminalError> {
        let size = termios::tcgetwinsize(fd).map_err(TerminalError::Read)?;
        Ok(Self {
            rows: size.ws_row,
            columns: size.ws_col,
        })
    }

    /// Gives the terminal that `fd` is this size; its foreground processes get SIGWINCH.
    pub fn apply(self, fd: impl AsFd) -> Result<(), TerminalError> {
        let size = Winsize {
            ws_row: self.rows,
            ws_col: self.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        termios::tcsetwinsize(fd, size).map_err(TerminalError::Change)
    }
}

/// Whether `fd` is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    termios::isatty(fd)
}

/// A terminal in raw mode; what it was before comes back when this is dropped, a panic included.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Puts the terminal that `fd` is into raw mode.
    pub fn enter(fd: BorrowedFd<'_>) -> Result<Self, TerminalError> {
        let before = termios::tcgetattr(fd).map_err(TerminalError::Read)?;
        let terminal = fd.try_clone_to_owned().map_err(|error| {
            TerminalError::Read(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(fd, OptionalActions::Flush, &raw).map_err(TerminalError::Change)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Nothing is left to be done where the terminal has gone away meanwhile.
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// A new pseudo-terminal of the `devpts` instance that `ptmx` belongs to: its master and its slave.
pub(crate) fn open_pty(ptmx: OwnedFd, size: WindowSize) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
    unlockpt(&ptmx)?;
    // By the ioctl, not by name: a name could lead to something else (CVE-2019-5736's kin).
    let slave = ioctl_tiocgptpeer(&ptmx, OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    let window = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    termios::tcsetwinsize(&ptmx, window)?;
    Ok((ptmx, slave))
}
