//! Prefixes of images' names, and where the names lie elsewhere.

use image_format::reference::Reference;

use super::RegistriesError;

/// How many bytes of a name a prefix takes up; `None` when the name does not begin with it. A prefix ends
/// where a part of the name does, and a host is no prefix of the same host with a port.
pub fn matched(name: &str, prefix: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host = name.find(['/', '@']).unwrap_or(name.len());
        let host = name[..host].find(':').unwrap_or(host);
        // More than the domain itself, which begins with a dot.
        let is_below = name[..host].ends_with(domain) && host > domain.len();
        return is_below.then_some(host);
    }
    let rest = name.strip_prefix(prefix)?;
    let ends = match rest.bytes().next() {
        None | Some(b'/' | b'@') => true,
        Some(b':') => prefix.contains('/'),
        Some(_) => false,
    };
    ends.then_some(prefix.len())
}

/// What an image is called at a location; at an empty one as before.
pub fn moved(
    reference: &Reference,
    prefix: &str,
    location: &str,
) -> Result<Reference, RegistriesError> {
    let name = reference.to_string();
    let Some(taken) = matched(&name, prefix).filter(|_| !location.is_empty()) else {
        return Ok(reference.clone());
    };
    let text = format!("{location}{}", &name[taken..]);
    let moved: Reference = text.parse().map_err(|source| RegistriesError::Moved {
        name: name.clone(),
        moved: text.clone(),
        location: location.to_owned(),
        source,
    })?;
    let is_same = moved.tag() == reference.tag() && moved.digest() == reference.digest();
    // A location whose first part is no host would be docker.io's.
    if is_same && text.starts_with(moved.registry()) {
        return Ok(moved);
    }
    Err(RegistriesError::Retagged {
        name,
        moved: text,
        location: location.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_part_ends() {
        for (name, prefix, expected) in [
            ("h.io/a/b:1", "h.io", Some(4)),
            ("h.io/a/b:1", "h.io/a", Some(6)),
            ("h.io/a/b:1", "h.io/a/b", Some(8)),
            ("h.io/a/b:1", "h.io/a/b:1", Some(10)),
            ("h.io/a/b:12", "h.io/a/b:1", None),
            ("h.io/a/b@sha256:0", "h.io/a/b", Some(8)),
            ("h.io/a/bc", "h.io/a/b", None),
            ("h.io", "h.io", Some(4)),
            ("h.io:5000/a", "h.io", None),
            ("h.io:5000/a", "h.io:5000", Some(9)),
            ("h.io:50001/a", "h.io:5000", None),
            ("h.io/a", "h.io/a/b", None),
            ("x.h.io/a:1", "*.h.io", Some(6)),
            ("y.x.h.io:5000/a", "*.h.io", Some(8)),
            ("h.io/a", "*.h.io", None),
            ("xh.io/a", "*.h.io", None),
            ("other.io/x.h.io/a", "*.h.io", None),
            ("x.h.io.other/a", "*.h.io", None),
            ("x.h.io", "*.h.io", Some(6)),
        ] {
            assert_eq!(matched(name, prefix), expected, "{name} {prefix}");
        }
    }

    #[test]
    fn a_name_moves_with_what_follows_its_prefix() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (name, prefix, location, expected) in [
            ("h.io/a/b:1", "h.io", "m.io", "m.io/a/b:1"),
            ("h.io/a/b:1", "h.io", "m.io:5000/x", "m.io:5000/x/a/b:1"),
            ("h.io/a/b", "h.io/a", "m.io/x", "m.io/x/b"),
            ("h.io/a/b", "h.io/a/b", "m.io/x/y", "m.io/x/y"),
            ("h.io/a/b:1", "h.io/a/b:1", "m.io/x:1", "m.io/x:1"),
            ("debian:12", "docker.io", "m.io", "m.io/library/debian:12"),
            ("debian", "docker.io/library", "m.io/hub", "m.io/hub/debian"),
            ("h.io/a", "h.io", "[::1]:5000", "[::1]:5000/a"),
            ("h.io/a", "h.io", "localhost", "localhost/a"),
            ("x.h.io/a", "*.h.io", "m.io", "m.io/a"),
            ("x.h.io:5000/a", "*.h.io", "", "x.h.io:5000/a"),
        ] {
            let reference = name.parse().unwrap();
            let found = moved(&reference, prefix, location).unwrap();
            assert_eq!(found.to_string(), expected, "{name} {prefix} {location}");
        }
        let reference = format!("h.io/a:1@{digest}").parse().unwrap();
        let found = moved(&reference, "h.io", "m.io/x").unwrap();
        assert_eq!(found.to_string(), format!("m.io/x/a:1@{digest}"));
    }

    #[test]
    fn a_name_never_becomes_another_images() {
        let cases = [
            ("h.io/a:1", "h.io/a:1", "m.io/a:2"),
            ("h.io/a:1", "h.io/a:1", "m.io/a"),
            ("h.io/a", "h.io", "mirror/x"),
            ("h.io/a", "h.io", "m.io/UPPER"),
            ("h.io/a", "h.io", "m.io/"),
            ("x.h.io:5000/a", "*.h.io", "m.io:5000"),
        ];
        for (name, prefix, location) in cases {
            let reference = name.parse().unwrap();
            let found = moved(&reference, prefix, location);
            assert!(found.is_err(), "{name} {prefix} {location}: {found:?}");
        }
    }
}
