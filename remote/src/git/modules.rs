//! Where submodules come from.
//!
//! Source: gitmodules(5).

use std::collections::BTreeMap;

use gix_config::File;
use gix_config::file::Metadata;
use gix_config::file::init::Options;

use super::error::GitError;

/// The name of the file that says it.
pub const FILE: &[u8] = b".gitmodules";

/// The addresses of submodules, by their paths.
pub fn addresses(bytes: &[u8]) -> Result<BTreeMap<String, String>, GitError> {
    let file = File::from_bytes_no_includes(bytes, Metadata::api(), Options::default());
    let file = file.map_err(GitError::Modules)?;
    let mut addresses = BTreeMap::new();
    for section in file.sections_by_name("submodule").into_iter().flatten() {
        let value = |name: &str| Some(section.value(name)?.to_string());
        if let (Some(path), Some(url)) = (value("path"), value("url")) {
            addresses.insert(path.trim_end_matches('/').to_owned(), url);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_an_address() {
        let text =
            "[submodule \"x\"]\n\tpath = lib/x/\n\turl = ../x.git\n[submodule \"y\"]\n\tpath = y\n";
        let found = addresses(text.as_bytes()).unwrap();
        assert_eq!(found, [("lib/x".to_owned(), "../x.git".to_owned())].into());
        assert!(addresses(b"[submodule").is_err());
        assert!(
            addresses(b"[include]\n\tpath = /etc/passwd\n")
                .unwrap()
                .is_empty()
        );
    }
}
