//! The platform that `FROM --platform` asks for: `linux/arm64`, `linux/arm/v7`, `arm64`, `linux`.

use image_format::descriptor::Platform;

use super::{Globals, PlanError};
use crate::dockerfile::Word;

/// The systems that Go has a name for.
const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];
/// The processors that Go has a name for.
const PROCESSORS: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

/// The platform of a `FROM`, expanded.
pub(super) fn of_from(word: &Word, globals: &Globals, escape: char) -> Result<Platform, PlanError> {
    let text = globals.expand(word, escape)?;
    if text.is_empty() {
        return Err(PlanError::EmptyPlatform {
            written: word.text.clone(),
            span: word.span,
        });
    }
    parse(&text).ok_or(PlanError::BadPlatform {
        platform: text,
        span: word.span,
    })
}

/// Reads a platform, and gives each part the name that Go has for it. What is left out is this machine's.
#[must_use]
pub fn parse(text: &str) -> Option<Platform> {
    let named = |part: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        !part.is_empty() && part.bytes().all(known)
    };
    let parts: Vec<&str> = text.split('/').collect();
    if !parts.iter().all(|part| named(part)) {
        return None;
    }
    let host = Platform::host();
    let (os, architecture, variant) = match parts.as_slice() {
        [one] => {
            let os = system(one);
            if SYSTEMS.contains(&os.as_str()) {
                (os, host.architecture.clone(), String::new())
            } else {
                let (architecture, variant) = processor(one, "");
                if !PROCESSORS.contains(&architecture.as_str()) {
                    return None;
                }
                (host.os.clone(), architecture, variant)
            }
        }
        [os, architecture] => {
            let (architecture, variant) = processor(architecture, "");
            (system(os), architecture, variant)
        }
        [os, architecture, variant] => {
            let (architecture, variant) = processor(architecture, variant);
            (system(os), architecture, variant)
        }
        _ => return None,
    };
    // v7 and v8 are what the name alone stands for
    let usual = [("arm", "v7"), ("arm64", "v8")].contains(&(&architecture, &variant));
    let written = parts.len() == 3 && architecture == "arm";
    Some(Platform {
        os,
        architecture,
        variant: Some(variant).filter(|variant| !variant.is_empty() && (!usual || written)),
        ..host
    })
}

fn system(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        os => os.to_owned(),
    }
}

/// Architecture and variant as Go names them.
fn processor(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (
        architecture.to_ascii_lowercase(),
        variant.to_ascii_lowercase(),
    );
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::name_of;

    #[test]
    fn platforms_get_the_names_of_go() {
        let host = Platform::host().architecture;
        for (text, name) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("linux/arm", "linux/arm"),
            ("armhf", "linux/arm"),
            ("arm64", "linux/arm64"),
            ("linux/i386", "linux/386"),
            ("linux", &format!("linux/{host}")),
            ("any/thing", "any/thing"),
        ] {
            assert_eq!(name_of(&parse(text).unwrap()), name, "{text}");
        }
        for bad in ["", "/", "bogus", "a/b/c/d", "linux/", "li nux/amd64", "*"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
