//! What logins are kept under: the names of registries and of parts of them.
//!
//! Source: containers-auth.json(5); docker's `config.json`, whose names were once addresses.

/// The registry that stands for docker's.
pub const DOCKER_HUB: &str = "docker.io";
/// What docker keeps the login of its own registry under.
const DOCKER_HUB_ADDRESS: &str = "https://index.docker.io/v1/";

/// What docker keeps the login of a registry under.
#[must_use]
pub fn docker(host: &str) -> &str {
    match host {
        DOCKER_HUB => DOCKER_HUB_ADDRESS,
        host => host,
    }
}

/// The registry that a name is of: an address is its host's, whatever path it has.
#[must_use]
pub fn registry(name: &str) -> &str {
    let bare = name
        .strip_prefix("https://")
        .or_else(|| name.strip_prefix("http://"));
    let host = match bare {
        Some(bare) => bare.split('/').next().unwrap_or_default(),
        None => name,
    };
    match host {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        host => host,
    }
}

/// The names that a login for a repository may be under, the closest first, and without those that
/// [`registry`] sees through: `host/a/b`, `host/a`, `host`.
pub fn candidates(host: &str, repository: &str) -> impl Iterator<Item = String> {
    let whole = format!("{host}/{repository}");
    let whole = whole.trim_end_matches('/').to_owned();
    std::iter::successors(Some(whole), |name| {
        let (shorter, _) = name.rsplit_once('/')?;
        Some(shorter.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_a_registry() {
        for (name, expected) in [
            ("docker.io", "docker.io"),
            ("index.docker.io", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("https://index.docker.io/v1", "docker.io"),
            ("http://index.docker.io/v2/x", "docker.io"),
            ("quay.io", "quay.io"),
            ("https://quay.io", "quay.io"),
            ("https://quay.io/v2/", "quay.io"),
            ("http://localhost:5000/v1/", "localhost:5000"),
            ("[::1]:5000", "[::1]:5000"),
            // Without a scheme it is a part of a registry, and no login for all of it.
            ("quay.io/ns", "quay.io/ns"),
        ] {
            assert_eq!(registry(name), expected, "{name}");
        }
    }

    #[test]
    fn the_closest_name_comes_first() {
        let names = |host, repository| candidates(host, repository).collect::<Vec<_>>();
        assert_eq!(
            names("h:5000", "a/b/c"),
            ["h:5000/a/b/c", "h:5000/a/b", "h:5000/a", "h:5000"]
        );
        assert_eq!(
            names("docker.io", "library/x"),
            ["docker.io/library/x", "docker.io/library", "docker.io"]
        );
        assert_eq!(names("h", ""), ["h"]);
    }

    #[test]
    fn docker_has_an_address_for_its_own_registry_alone() {
        assert_eq!(docker("docker.io"), "https://index.docker.io/v1/");
        assert_eq!(docker("quay.io"), "quay.io");
    }
}
