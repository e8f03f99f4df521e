//! Sizes as docker's flags and options write them: `64m`, `1.5 GB`, `512k`.

/// The bytes that a size stands for; a letter multiplies by a power of 1024, whatever follows it.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let end = text.rfind(|letter: char| letter.is_ascii_digit() || letter == '.')? + 1;
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if unit.len() <= 1 => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    if !["", "b", "ib"].contains(&&unit[unit.len().min(usize::from(power > 0))..]) {
        return None;
    }
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << (10 * power));
    }
    let bytes = number.parse::<f64>().ok()? * f64::from(1 << 10).powi(power);
    // As exact as docker: what a fraction of a unit is, in whole bytes.
    (0.0..9.2e18).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_docker_s() {
        for (text, expected) in [
            ("0", 0),
            ("32", 32),
            ("32b", 32),
            ("32 B", 32),
            ("64m", 64 << 20),
            ("64Mb", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            (".5k", 512),
            ("2 TiB", 2 << 40),
            ("1e3", 1000),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "m",
            "-1",
            "1x",
            "1mm",
            "1 m b",
            "1  m",
            "1ib",
            "1bb",
            "1..2",
            "99999999p",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
