//! The program: looked for as docker does, and executed.

use std::ffi::{CStr, CString};
use std::io::Read;

use rustix::io::Errno;

use super::failure::Failure;
use super::spec::{DEFAULT_PATH, SandboxSpec};
use crate::sys;

/// What is to be executed, ready for the kernel.
pub(super) struct Program {
    name: String,
    searched: bool,
    candidates: Vec<CString>,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// Takes the program, its arguments and its environment from the specification, adding `HOME`
    /// where it is missing.
    pub fn new(spec: &SandboxSpec, home: &str) -> Result<Self, Failure> {
        let name = spec.args.first().cloned().unwrap_or_default();
        let mut env = spec.env.clone();
        if value(&env, "HOME").is_none() {
            env.push(format!("HOME={home}"));
        }
        let searched = !name.contains('/');
        let candidates = match (name.is_empty(), searched) {
            (true, _) => Vec::new(),
            (false, false) => vec![name.clone()],
            (false, true) => {
                let path = value(&env, "PATH").unwrap_or(DEFAULT_PATH);
                // An empty entry is the working directory.
                path.split(':')
                    .map(|directory| match directory {
                        "" => format!("./{name}"),
                        _ => format!("{directory}/{name}"),
                    })
                    .collect()
            }
        };
        Ok(Self {
            candidates: strings(&candidates)?,
            args: strings(&spec.args)?,
            env: strings(&env)?,
            name,
            searched,
        })
    }

    /// Executes the first candidate that can be; returns only why none can.
    pub fn execute(&self) -> Failure {
        let args: Vec<&CStr> = self.args.iter().map(CString::as_c_str).collect();
        let env: Vec<&CStr> = self.env.iter().map(CString::as_c_str).collect();
        // As in a shell, one that may not be executed counts only where no other can.
        let mut denied = None;
        for candidate in &self.candidates {
            match sys::execve(candidate, &args, &env) {
                Errno::NOENT | Errno::NOTDIR if !exists(candidate) => {}
                Errno::NOENT => return self.without_interpreter(candidate),
                errno @ (Errno::ACCESS | Errno::ISDIR) if self.searched => denied = Some(errno),
                errno => return self.not_executable(errno),
            }
        }
        match denied {
            Some(errno) => self.not_executable(errno),
            None => Failure::NotFound {
                program: self.name.clone(),
                searched: self.searched,
            },
        }
    }

    fn not_executable(&self, errno: Errno) -> Failure {
        Failure::NotExecutable {
            program: self.name.clone(),
            errno: errno.raw_os_error(),
        }
    }

    /// The file is there, but what the kernel needs to run it is not.
    fn without_interpreter(&self, candidate: &CStr) -> Failure {
        Failure::NoInterpreter {
            program: self.name.clone(),
            interpreter: interpreter(candidate),
        }
    }
}

/// The last value of a variable, which is the one that counts.
fn value<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    env.iter()
        .rev()
        .filter_map(|entry| entry.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

fn strings(strings: &[String]) -> Result<Vec<CString>, Failure> {
    strings
        .iter()
        .map(|string| {
            CString::new(string.as_str()).map_err(|_| Failure::Specification {
                reason: format!("a zero byte in {string:?}"),
            })
        })
        .collect()
}

fn exists(path: &CStr) -> bool {
    rustix::fs::stat(path).is_ok()
}

/// What a script's first line names; nothing for other programs, which name theirs deep inside.
fn interpreter(path: &CStr) -> Option<String> {
    // The longest line that the kernel reads (execve(2)).
    let mut start = Vec::new();
    let file = std::fs::File::open(path.to_str().ok()?).ok()?;
    file.take(255).read_to_end(&mut start).ok()?;
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = String::from_utf8_lossy(line);
    let name = line.split([' ', '\t']).find(|word| !word.is_empty())?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_format::snapshot::RootMount;

    fn program(args: &[&str], env: &[&str]) -> Program {
        let root = RootMount::Bind { path: "/".into() };
        let mut spec = SandboxSpec::new(root, args.iter().map(|arg| (*arg).into()).collect());
        spec.env = env.iter().map(|entry| (*entry).into()).collect();
        Program::new(&spec, "/home/ann").unwrap()
    }

    #[test]
    fn path_is_searched_for_bare_names_only() {
        let bare = program(&["sh"], &["PATH=/a::/b", "PATH=/c:"]);
        assert_eq!(bare.candidates, [c"/c/sh", c"./sh"].map(CString::from));
        let path = program(&["./sh"], &["PATH=/a"]);
        assert_eq!(path.candidates, [CString::from(c"./sh")]);
        assert_eq!(program(&["sh"], &[]).candidates.len(), 6);
        assert!(program(&[""], &[]).candidates.is_empty());
    }

    #[test]
    fn home_is_added_only_where_it_is_missing() {
        assert_eq!(program(&["x"], &[]).env, [CString::from(c"HOME=/home/ann")]);
        let set = program(&["x"], &["HOME="]);
        assert_eq!(set.env, [CString::from(c"HOME=")]);
    }

    #[test]
    fn failures_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let write = |name: &str, text: &str, mode| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("plain", "", 0o644);
        write("script", "#! /no/such -x\n", 0o755);
        write("garbage", "\u{1}garbage", 0o755);
        let fails = |name: &str| program(&[&at(name)], &[]).execute();
        assert!(matches!(
            fails("missing"),
            Failure::NotFound {
                searched: false,
                ..
            }
        ));
        assert!(matches!(fails("plain/x"), Failure::NotFound { .. }));
        assert!(matches!(
            fails("plain"),
            Failure::NotExecutable { errno, .. } if errno == Errno::ACCESS.raw_os_error()
        ));
        assert!(matches!(
            fails("garbage"),
            Failure::NotExecutable { errno, .. } if errno == Errno::NOEXEC.raw_os_error()
        ));
        assert!(matches!(
            fails("script"),
            Failure::NoInterpreter { interpreter: Some(name), .. } if name == "/no/such"
        ));
        let path = format!("PATH=/nowhere:{}", directory.path().display());
        assert!(matches!(
            program(&["plain"], &[&path]).execute(),
            Failure::NotExecutable { .. }
        ));
        assert!(matches!(
            program(&["missing"], &[&path]).execute(),
            Failure::NotFound { searched: true, .. }
        ));
    }
}
