//! What a build's commands are given: secrets, agents, hosts, limits.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use builder::dockerfile::mount::csv;
use builder::dockerfile::size;
use builder::request::{Secret, Ulimit};
use image_format::nearest::nearest;
use runner::sandbox::limits::NAMES;

/// The largest secret that docker takes, in bytes.
const LARGEST: u64 = 500 * 1024;
/// The variable that says where an agent's socket is.
const AUTH_SOCK: &str = "SSH_AUTH_SOCK";
/// The agent that is meant where none is named.
const DEFAULT: &str = "default";

/// What of it cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum GivenError {
    /// A flag that is not well-formed.
    #[error("{flag} {value:?}: {wrong}")]
    Malformed {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        wrong: &'static str,
    },
    /// A part of a flag that it has not.
    #[error("{flag} {value:?} has no {what} {name:?}")]
    Unknown {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// `option`, `limit`
        what: &'static str,
        /// What was written.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A secret's file cannot be read.
    #[error("cannot read the secret {id:?} from {}", path.display())]
    SecretFile {
        /// The secret.
        id: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A secret's variable is not set.
    #[error("the secret {id:?} is to be in the variable {name}, which is not set")]
    SecretVariable {
        /// The secret.
        id: String,
        /// The variable.
        name: String,
    },
    /// A secret that is too large.
    #[error("the secret {id:?} is larger than {LARGEST} bytes")]
    SecretSize {
        /// The secret.
        id: String,
    },
    /// No variable says where the agent is.
    #[error("--ssh {0}: no agent is running here, for ${AUTH_SOCK} is not set")]
    NoAgent(String),
    /// What should be an agent's socket is a key, or some other file.
    #[error("--ssh {id}: {} is not the socket of an agent", path.display())]
    NotASocket {
        /// The agent's id.
        id: String,
        /// The file.
        path: PathBuf,
    },
    /// The agent's socket is not there.
    #[error("--ssh {id}: cannot find {}", path.display())]
    Socket {
        /// The agent's id.
        id: String,
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `host-gateway`
    #[error("--add-host {0:?}: a build has no gateway to the host")]
    HostGateway(String),
}

impl GivenError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed { flag, .. } => match *flag {
                "--secret" => "write id=NAME,src=FILE or id=NAME,env=VARIABLE",
                "--ssh" => "write default, or NAME=SOCKET",
                "--add-host" => "write NAME=ADDRESS, as in db=10.0.0.7",
                "--shm-size" => "write a number of bytes, as in 64m or 1g",
                _ => "write NAME=SOFT or NAME=SOFT:HARD, as in nofile=1024:2048; -1 is no limit",
            }
            .to_owned(),
            Self::Unknown { nearest, flag, .. } => match (nearest, *flag) {
                (Some(near), _) => format!("did you mean {near:?}?"),
                (None, "--secret") => "there are id, src, env and type".to_owned(),
                (None, _) => {
                    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                    format!("there are {}", names.join(", "))
                }
            },
            Self::NoAgent(_) | Self::NotASocket { .. } => {
                "start an agent and give it the key: eval $(ssh-agent) && ssh-add KEY, and then --ssh default"
                    .to_owned()
            }
            Self::HostGateway(_) => {
                "a command has the host's network: it reaches the host at 127.0.0.1".to_owned()
            }
            _ => return None,
        })
    }
}

/// Reads `--secret`s.
pub fn secrets(given: &[String]) -> Result<BTreeMap<String, Secret>, GivenError> {
    let secrets = given.iter().map(|value| secret(value));
    secrets.collect()
}

fn secret(value: &str) -> Result<(String, Secret), GivenError> {
    let malformed = |wrong| GivenError::Malformed {
        flag: "--secret",
        value: value.to_owned(),
        wrong,
    };
    let (mut id, mut path, mut variable, mut kind) = (None, None, None, None);
    let fields = csv::fields(value).map_err(|error| malformed(error.reason))?;
    for csv::Field { text: field, .. } in &fields {
        let Some((name, value)) = field.split_once('=') else {
            return Err(malformed("an option without a value"));
        };
        let place = match name.to_ascii_lowercase().as_str() {
            "id" => &mut id,
            "src" | "source" => &mut path,
            "env" => &mut variable,
            "type" if matches!(value, "file" | "env") => &mut kind,
            "type" => return Err(malformed("its type is file or env")),
            _ => {
                return Err(GivenError::Unknown {
                    flag: "--secret",
                    value: field.clone(),
                    what: "option",
                    name: name.to_owned(),
                    nearest: nearest(name, ["id", "src", "source", "env", "type"]),
                });
            }
        };
        *place = Some(value.to_owned());
    }
    let id = id.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| malformed("it has no id"))?;
    // Docker takes what is named as a file for a variable then.
    if kind.as_deref() == Some("env") && variable.is_none() {
        variable = path.take();
    }
    let value = match (kind.as_deref(), variable, path) {
        (Some("env") | None, Some(name), _) => from_variable(&id, name)?,
        (Some("env"), None, _) => from_variable(&id, id.clone())?,
        (_, _, Some(path)) => from_file(&id, PathBuf::from(path))?,
        (None, None, None) if std::env::var_os(&id).is_some() => from_variable(&id, id.clone())?,
        _ => from_file(&id, PathBuf::from(&id))?,
    };
    Ok((id, value))
}

fn from_variable(id: &str, name: String) -> Result<Secret, GivenError> {
    let value: Option<OsString> = std::env::var_os(&name);
    let id = id.to_owned();
    match value {
        Some(value) => Ok(Secret(value.into_encoded_bytes())),
        None => Err(GivenError::SecretVariable { id, name }),
    }
}

fn from_file(id: &str, path: PathBuf) -> Result<Secret, GivenError> {
    let mut value = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut value));
    let id = id.to_owned();
    match read {
        Err(source) => Err(GivenError::SecretFile { id, path, source }),
        Ok(_) if value.len() as u64 > LARGEST => Err(GivenError::SecretSize { id }),
        Ok(_) => Ok(Secret(value)),
    }
}

/// Reads `--ssh`s: the sockets of agents.
pub fn agents(given: &[String]) -> Result<BTreeMap<String, PathBuf>, GivenError> {
    let agents = given.iter().map(|value| {
        let (id, path) = match value.split_once('=') {
            Some((id, path)) => (id, Some(path)),
            None => (value.as_str(), None),
        };
        let id = if id.is_empty() { DEFAULT } else { id }.to_owned();
        let path = match path.filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => match std::env::var_os(AUTH_SOCK).filter(|path| !path.is_empty()) {
                Some(path) => PathBuf::from(path),
                None => return Err(GivenError::NoAgent(value.clone())),
            },
        };
        check_socket(&id, &path)?;
        // The build may go to another directory.
        let path = std::path::absolute(&path).unwrap_or(path);
        Ok((id, path))
    });
    agents.collect()
}

fn check_socket(id: &str, path: &Path) -> Result<(), GivenError> {
    let (id, path) = (id.to_owned(), path.to_owned());
    match fs::metadata(&path) {
        Ok(found) if found.file_type().is_socket() => Ok(()),
        Ok(_) => Err(GivenError::NotASocket { id, path }),
        Err(source) => Err(GivenError::Socket { id, path, source }),
    }
}

/// Reads `--add-host`s.
pub fn hosts(given: &[String]) -> Result<Vec<(String, IpAddr)>, GivenError> {
    let hosts = given.iter().map(|value| {
        let malformed = |wrong| GivenError::Malformed {
            flag: "--add-host",
            value: value.clone(),
            wrong,
        };
        let (name, address) = value
            .split_once(['=', ':'])
            .ok_or_else(|| malformed("it has no address"))?;
        if name.is_empty() || name.contains(|letter: char| letter.is_whitespace() || letter == '#')
        {
            return Err(malformed("it names no host"));
        }
        if address == "host-gateway" {
            return Err(GivenError::HostGateway(value.clone()));
        }
        let bare = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let address = bare.unwrap_or(address).parse();
        let address = address.map_err(|_| malformed("its address is none"))?;
        Ok((name.to_owned(), address))
    });
    hosts.collect()
}

/// Reads `--shm-size`; 0 is for docker as if it was not given.
pub fn shm_size(given: Option<&str>) -> Result<Option<u64>, GivenError> {
    let Some(value) = given else { return Ok(None) };
    let size = size::bytes(value).ok_or_else(|| GivenError::Malformed {
        flag: "--shm-size",
        value: value.to_owned(),
        wrong: "it is no size",
    })?;
    Ok(Some(size).filter(|size| *size > 0))
}

/// Reads `--ulimit`s; of one name the last counts.
pub fn ulimits(given: &[String]) -> Result<Vec<Ulimit>, GivenError> {
    let mut limits: BTreeMap<String, Ulimit> = BTreeMap::new();
    for value in given {
        let limit = ulimit(value)?;
        limits.insert(limit.name.clone(), limit);
    }
    Ok(limits.into_values().collect())
}

fn ulimit(value: &str) -> Result<Ulimit, GivenError> {
    let malformed = |wrong| GivenError::Malformed {
        flag: "--ulimit",
        value: value.to_owned(),
        wrong,
    };
    let (name, numbers) = value
        .split_once('=')
        .ok_or_else(|| malformed("it has no value"))?;
    if !NAMES.iter().any(|(known, _)| *known == name) {
        return Err(GivenError::Unknown {
            flag: "--ulimit",
            value: value.to_owned(),
            what: "limit",
            name: name.to_owned(),
            nearest: nearest(name, NAMES.iter().map(|(name, _)| name)),
        });
    }
    let number = |text: &str| match text {
        "-1" => Ok(None),
        text => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| malformed("its value is no number")),
    };
    let (soft, hard) = numbers.split_once(':').unwrap_or((numbers, numbers));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
        return Err(malformed("its soft limit is above its hard one"));
    }
    let name = name.to_owned();
    Ok(Ulimit { name, soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        let given = ["a:10.0.0.1", "b=::1", "c:[::2]", "d:::3"].map(str::to_owned);
        let expected = ["10.0.0.1", "::1", "::2", "::3"];
        for ((name, address), (wanted, text)) in hosts(&given)
            .unwrap()
            .iter()
            .zip(["a", "b", "c", "d"].iter().zip(expected))
        {
            assert_eq!(
                (name.as_str(), address.to_string().as_str()),
                (*wanted, text)
            );
        }
        for bad in [
            "a",
            "a:",
            ":1.2.3.4",
            "a b:1.2.3.4",
            "a:x",
            "a:host-gateway",
            "a#:1.1.1.1",
        ] {
            assert!(hosts(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_have_one_number_or_two() {
        let one = |text| ulimit(text).map(|limit| (limit.soft, limit.hard));
        assert_eq!(one("nofile=5").unwrap(), (Some(5), Some(5)));
        assert_eq!(one("nofile=5:9").unwrap(), (Some(5), Some(9)));
        assert_eq!(one("core=-1").unwrap(), (None, None));
        assert_eq!(one("core=0:-1").unwrap(), (Some(0), None));
        for bad in [
            "nofile",
            "nofile=",
            "nofile=x",
            "nofile=9:5",
            "nofile=-1:5",
            "nofile=1:2:3",
        ] {
            assert!(one(bad).is_err(), "{bad}");
        }
        let hint = ulimit("nofiles=1").unwrap_err().hint();
        assert_eq!(hint.as_deref(), Some("did you mean \"nofile\"?"));
    }

    #[test]
    fn a_secret_says_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a,b");
        fs::write(&path, b"value\n").unwrap();
        let text = path.display();
        for value in [
            format!("id=s,\"src={text}\""),
            format!("type=file,ID=s,\"source={text}\""),
        ] {
            let (id, secret) = secret(&value).unwrap();
            assert_eq!((id.as_str(), secret.0.as_slice()), ("s", &b"value\n"[..]));
        }
        let (_, path) = secret("id=s,env=PATH").unwrap();
        assert_eq!(
            path.0,
            std::env::var_os("PATH").unwrap().into_encoded_bytes()
        );
        assert_eq!(secret("id=PATH").unwrap().1, path);
        assert_eq!(secret("id=x,type=env,src=PATH").unwrap().1, path);
        for bad in [
            "",
            "src=x",
            "id=",
            "id",
            "id=a,typ=env",
            "id=a,type=x",
            "id=no-such-file",
        ] {
            assert!(secret(bad).is_err(), "{bad}");
        }
        fs::write(dir.path().join("big"), vec![b'x'; LARGEST as usize + 1]).unwrap();
        let big = secret(&format!("id=big,src={}", dir.path().join("big").display()));
        assert!(matches!(big, Err(GivenError::SecretSize { .. })));
    }

    #[test]
    fn a_key_is_no_agent() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("id_ed25519");
        fs::write(&key, "key").unwrap();
        let error = agents(&[format!("default={}", key.display())]).unwrap_err();
        assert!(error.hint().unwrap().contains("ssh-add"), "{error}");
        let socket = dir.path().join("agent");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let given = agents(&[format!("a={}", socket.display())]).unwrap();
        assert_eq!(given["a"], socket);
    }
}
