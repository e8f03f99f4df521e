//! The ports of `EXPOSE`.

/// A port of `EXPOSE` was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Nothing where a port should be.
    #[error("`{word}` names no port")]
    Missing {
        /// The word of `EXPOSE`.
        word: String,
    },
    /// Not a number from 0 to 65535.
    #[error("`{port}` is not a port: a number from 0 to 65535 is needed")]
    NotANumber {
        /// What stands in its place.
        port: String,
    },
    /// `9000-8000`
    #[error("the range `{range}` ends before it begins")]
    Backwards {
        /// The range.
        range: String,
    },
    /// Something else than tcp, udp and sctp.
    #[error("`{protocol}` is not a protocol: tcp, udp or sctp is needed")]
    BadProtocol {
        /// What stands in its place.
        protocol: String,
    },
    /// What stands before the port of the host is no address.
    #[error("`{address}` is not an IP address")]
    BadAddress {
        /// What stands in its place.
        address: String,
    },
    /// `8000-8001:80-85`
    #[error("`{word}` maps ranges of different lengths")]
    Unequal {
        /// The word of `EXPOSE`.
        word: String,
    },
}

/// The ports that one expanded word of `EXPOSE` names, as the image config spells them: `80/tcp`.
///
/// An address and a port of the host before the port are read and dropped, as docker has it (a check tells of
/// them).
pub fn exposed(word: &str) -> Result<Vec<String>, PortError> {
    let (host, port) = word.rsplit_once(':').unwrap_or(("", word));
    let (address, host) = host.rsplit_once(':').unwrap_or(("", host));
    let (range, protocol) = port.split_once('/').unwrap_or((port, ""));
    if range.is_empty() {
        return Err(PortError::Missing {
            word: word.to_owned(),
        });
    }
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => {
            return Err(PortError::BadProtocol {
                protocol: protocol.to_owned(),
            });
        }
    };
    is_address(address)?;
    let (first, last) = ends(range)?;
    if !host.is_empty() {
        let (host_first, host_last) = ends(host)?;
        if first != last && last - first != host_last - host_first {
            return Err(PortError::Unequal {
                word: word.to_owned(),
            });
        }
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}

/// The first and last port of a range.
fn ends(range: &str) -> Result<(u16, u16), PortError> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(PortError::Backwards {
            range: range.to_owned(),
        });
    }
    Ok((first, last))
}

fn is_address(address: &str) -> Result<(), PortError> {
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bare.unwrap_or(address);
    if bare.is_empty() || bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    Err(PortError::BadAddress {
        address: address.to_owned(),
    })
}

fn number(port: &str) -> Result<u16, PortError> {
    // a sign is a number to Go's parser, and so to docker
    let digits = port.strip_prefix('+').unwrap_or(port);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain
        .then(|| digits.parse().ok())
        .flatten()
        .ok_or_else(|| PortError::NotANumber {
            port: port.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges() {
        assert_eq!(exposed("80"), Ok(vec!["80/tcp".into()]));
        assert_eq!(exposed("80/"), Ok(vec!["80/tcp".into()]));
        assert_eq!(
            exposed("7000-7002/UDP"),
            Ok(vec![
                "7000/udp".into(),
                "7001/udp".into(),
                "7002/udp".into()
            ])
        );
        for mapped in [
            "8080:80",
            "127.0.0.1:8080:80",
            "[::1]:8080:80",
            "::1::80",
            "1-9:80",
            ":80",
        ] {
            assert_eq!(exposed(mapped), Ok(vec!["80/tcp".into()]), "{mapped}");
        }
        assert_eq!(exposed("0-65535").map(|ports| ports.len()), Ok(65536));
    }

    #[test]
    fn what_is_no_port() {
        for word in [
            "",
            "/tcp",
            "x",
            "80-",
            "-80",
            "65536",
            "80/icmp",
            "9-8",
            "8080:",
            "80/tcp/x",
            "x:80",
            "nowhere:80:80",
            "[::1:80:80",
            "80-82:70-71",
        ] {
            assert!(exposed(word).is_err(), "{word}");
        }
    }
}
