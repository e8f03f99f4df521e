//! A way to an agent of the host's (draft-ietf-sshm-ssh-agent) that a command may use and not change.
//!
//! The agent's own socket is its user's alone, and nobody's who is root of a sandbox only. So the
//! sandbox gets a socket of its own, and what is asked there is asked of the agent: which keys it
//! has, and for signatures. To add and remove keys, or to lock it, is refused.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::FileAccess;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
/// The longest message that OpenSSH's agent takes, in bytes.
const LONGEST: usize = 256 << 10;
/// The most connections at once: a thread each.
const MOST: usize = 32;

/// The socket, served until this is dropped.
pub(super) struct Agent {
    path: PathBuf,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    agent: PathBuf,
    ended: AtomicBool,
    /// Both ends of each connection, by its number, so that they can be closed.
    open: Mutex<BTreeMap<u64, [UnixStream; 2]>>,
}

impl Agent {
    /// Makes a socket in the directory `dir`, which is empty, and serves it.
    pub(super) fn serve(agent: &Path, dir: &Path, access: FileAccess) -> io::Result<Self> {
        let path = dir.join("agent");
        // The path of a socket may have a hundred bytes, and the store's may be longer.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(CWD, dir, flags, Mode::empty())?;
        let short = short(&handle, "agent");
        let listener = UnixListener::bind(&short)?;
        chown(&path, Some(access.uid), Some(access.gid))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(access.mode & 0o777))?;
        let shared = Arc::new(Shared {
            agent: agent.to_owned(),
            ended: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let accepting = std::thread::Builder::new()
            .name("agent".to_owned())
            .spawn(move || accept(&listener, &serving))?;
        Ok(Self {
            path,
            shared,
            accepting: Some(accepting),
        })
    }

    /// The socket.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for [one, other] in self.shared.open().values() {
            // What fails is closed already.
            let _ = (one.shutdown(Shutdown::Both), other.shutdown(Shutdown::Both));
        }
        // So that it looks up.
        let woken = connect(&self.path);
        if let Some(accepting) = self.accepting.take().filter(|_| woken.is_ok()) {
            let _ = accepting.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, [UnixStream; 2]>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path to a name in an open directory that is short, however long the directory's is.
fn short(dir: &impl std::os::fd::AsRawFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let (Some(dir), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return UnixStream::connect(path);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(CWD, dir, flags, Mode::empty())?;
    UnixStream::connect(short(&dir, name))
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        match accepted {
            Ok((stream, _)) => drop(begin(stream, shared)),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INTR) => {}
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
}

/// Begins a connection; one that cannot be is closed.
fn begin(client: UnixStream, shared: &Arc<Shared>) -> io::Result<()> {
    let agent = connect(&shared.agent)?;
    let ends = [client.try_clone()?, agent.try_clone()?];
    let mut open = shared.open();
    if open.len() >= MOST || shared.ended.load(Ordering::SeqCst) {
        return Ok(());
    }
    let number = open.last_key_value().map_or(0, |(last, _)| last + 1);
    open.insert(number, ends);
    drop(open);
    let shared = Arc::clone(shared);
    let serve = move || {
        // It ends when either side does.
        let _ = relay(&client, &agent);
        shared.open().remove(&number);
    };
    std::thread::Builder::new().spawn(serve).map(drop)
}

/// Hands on what may be asked, and the answers.
fn relay(mut client: &UnixStream, mut agent: &UnixStream) -> io::Result<()> {
    while let Some(question) = message(&mut client)? {
        let answer = match question.first() {
            Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)) => {
                send(&mut agent, &question)?;
                message(&mut agent)?.ok_or(io::ErrorKind::UnexpectedEof)?
            }
            _ => vec![FAILURE],
        };
        send(&mut client, &answer)?;
    }
    Ok(())
}

/// The next message without its length; none at the end.
fn message(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    from.read_exact(&mut message)?;
    Ok(Some(message))
}

fn send(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    to.write_all(&[&length.to_be_bytes(), message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that answers every question with its first byte and its length.
    fn fake(dir: &Path) -> PathBuf {
        let path = dir.join("real");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                std::thread::spawn(move || {
                    while let Ok(Some(question)) = message(&mut &stream) {
                        let answer = [question[0], question.len() as u8];
                        send(&mut &stream, &answer).unwrap();
                    }
                });
            }
        });
        path
    }

    #[test]
    fn keys_are_told_and_used_and_nothing_else_reaches_the_agent() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("x".repeat(150));
        std::fs::create_dir(&dir).unwrap();
        let access = FileAccess {
            mode: 0o640,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        };
        let agent = Agent::serve(&fake(place.path()), &dir, access).unwrap();
        let path = agent.path().to_owned();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        let ask = |question: &[u8]| {
            let mut stream = connect(&path).unwrap();
            send(&mut stream, question).unwrap();
            message(&mut stream).unwrap()
        };
        assert_eq!(ask(&[REQUEST_IDENTITIES]), Some(vec![11, 1]));
        assert_eq!(ask(&[SIGN_REQUEST, 1, 2]), Some(vec![13, 3]));
        // Add, remove, remove all, lock, extension, nothing.
        for question in [&[17][..], &[18], &[19], &[22], &[27], &[]] {
            assert_eq!(ask(question), Some(vec![FAILURE]));
        }
        let mut greedy = connect(&path).unwrap();
        greedy.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert!(!matches!(message(&mut greedy), Ok(Some(_))));
        let held = connect(&path).unwrap();
        drop(agent);
        assert!(!path.exists());
        assert_eq!((&held).read(&mut [0; 1]).unwrap_or(0), 0);
    }
}
