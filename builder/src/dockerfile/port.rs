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
    /// `8080:80` or `127.0.0.1:8080:80`: only a port inside the container can be exposed.
    #[error("`{word}` maps a port of the host")]
    HostPort {
        /// The word of `EXPOSE`.
        word: String,
    },
}

/// The ports that one expanded word of `EXPOSE` names, as the image config spells them: `80/tcp`.
///
/// Docker reads and drops an address or host port before the port; that is refused here.
pub fn exposed(word: &str) -> Result<Vec<String>, PortError> {
    if word.contains(':') {
        return Err(PortError::HostPort {
            word: word.to_owned(),
        });
    }
    let (range, protocol) = word.split_once('/').unwrap_or((word, ""));
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
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(PortError::Backwards {
            range: range.to_owned(),
        });
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
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
        assert_eq!(exposed("0-65535").map(|ports| ports.len()), Ok(65536));
    }

    #[test]
    fn what_is_no_port() {
        for word in [
            "", "/tcp", "x", "80-", "-80", "65536", "80/icmp", "9-8", "8080:80", "80/tcp/x",
        ] {
            assert!(exposed(word).is_err(), "{word}");
        }
    }
}
