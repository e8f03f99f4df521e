//! Platforms as people write them: `linux/amd64`, `arm64`, `linux/arm/v7`.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::Platform;

/// A text is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// Too many or empty parts, or letters that none has.
    #[error("{0:?} is not a platform: it takes OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT")]
    Form(String),
    /// One word, and neither an operating system nor an architecture.
    #[error("{0:?} is neither an operating system nor an architecture")]
    Unknown(String),
}

/// The operating systems that a single word may name, in Go's names.
const SYSTEMS: [&str; 15] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
];
/// The architectures likewise.
const ARCHITECTURES: [&str; 14] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x", "wasm",
];

/// As containerd reads them: other names that processors have are Go's in the end.
impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let plain = |part: &&str| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            !part.is_empty() && part.bytes().all(letter)
        };
        if !parts.iter().all(|part| plain(part)) {
            return Err(PlatformError::Form(text.to_owned()));
        }
        let host = Self::host();
        Ok(match parts[..] {
            [word] => {
                let os = system(word);
                let (architecture, variant) = architecture(word, "");
                if SYSTEMS.contains(&os.as_str()) {
                    Self { os, ..host }
                } else if ARCHITECTURES.contains(&architecture.as_str()) {
                    new(host.os, architecture, variant)
                } else {
                    return Err(PlatformError::Unknown(text.to_owned()));
                }
            }
            [os, name] => {
                let (architecture, variant) = architecture(name, "");
                new(system(os), architecture, variant)
            }
            [os, name, variant] => {
                let (architecture, mut variant) = architecture(name, variant);
                if architecture == "arm64" && variant.is_empty() {
                    variant = "v8".to_owned();
                }
                new(system(os), architecture, variant)
            }
            _ => return Err(PlatformError::Form(text.to_owned())),
        })
    }
}

fn new(os: String, architecture: String, variant: String) -> Platform {
    Platform {
        os,
        architecture,
        variant: Some(variant).filter(|variant| !variant.is_empty()),
        extra: BTreeMap::new(),
    }
}

fn system(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        name => name.to_owned(),
    }
}

fn architecture(name: &str, variant: &str) -> (String, String) {
    let (name, variant) = (name.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (name, variant) = match (name.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        both => both,
    };
    (name.to_owned(), variant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_platform() {
        for (text, os, architecture, variant) in [
            ("linux/amd64", "linux", "amd64", None),
            ("Linux/x86_64", "linux", "amd64", None),
            ("arm64", "linux", "arm64", None),
            ("linux/arm64/v8", "linux", "arm64", Some("v8")),
            ("linux/arm", "linux", "arm", Some("v7")),
            ("linux/armel", "linux", "arm", Some("v6")),
            ("macos/aarch64", "darwin", "arm64", None),
            ("my/own", "my", "own", None),
        ] {
            let read: Platform = text.parse().unwrap();
            assert_eq!(
                (read.os.as_str(), read.architecture.as_str()),
                (os, architecture),
                "{text}"
            );
            assert_eq!(read.variant.as_deref(), variant, "{text}");
        }
        assert_eq!("linux".parse(), Ok(Platform::host()));
        for bad in ["", "/", "linux/", "a/b/c/d", "local", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
