//! The durations of `HEALTHCHECK`, as Go writes them: `1h30m`, `1.5s`, `250ms`.

/// A duration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a sequence of numbers with their units.
    #[error("`{text}` is not a duration: numbers with a unit (ns, us, ms, s, m, h), as in 1m30s")]
    NotADuration {
        /// What was given.
        text: String,
    },
    /// More than 292 years.
    #[error("the duration `{text}` is too long")]
    TooLong {
        /// What was given.
        text: String,
    },
    /// Shorter than docker takes.
    #[error("the duration `{text}` is less than a millisecond")]
    TooShort {
        /// What was given.
        text: String,
    },
}

/// A unit, and how many nanoseconds it has.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    // the micro sign, and the Greek letter
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The nanoseconds of an interval: 0, which stands for docker's default, or a millisecond and more.
///
/// # Errors
/// When it is no duration, or another one.
pub fn interval(text: &str) -> Result<i64, DurationError> {
    let nanoseconds = parse(text)?;
    if nanoseconds != 0 && nanoseconds < 1_000_000 {
        let text = text.to_owned();
        return Err(DurationError::TooShort { text });
    }
    Ok(nanoseconds)
}

/// The nanoseconds of a duration.
fn parse(text: &str) -> Result<i64, DurationError> {
    let wrong = || DurationError::NotADuration {
        text: text.to_owned(),
    };
    let too_long = || DurationError::TooLong {
        text: text.to_owned(),
    };
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(wrong());
        }
        let length = after.find(|letter: char| letter == '.' || letter.is_ascii_digit());
        let (unit, after) = after.split_at(length.unwrap_or(after.len()));
        let unit = UNITS.into_iter().find(|(name, _)| *name == unit);
        let (_, unit) = unit.ok_or_else(wrong)?;
        let whole: u64 = match whole {
            "" => 0,
            whole => whole.parse().map_err(|_| too_long())?,
        };
        let part = whole.checked_mul(unit).ok_or_else(too_long)?;
        let part = part.checked_add(fraction_of(fraction, unit));
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(too_long)?;
        rest = after;
    }
    let total = i64::try_from(total).map_err(|_| too_long())?;
    Ok(if negative { -total } else { total })
}

fn digits(text: &str) -> (&str, &str) {
    let length = text.find(|letter: char| !letter.is_ascii_digit());
    text.split_at(length.unwrap_or(text.len()))
}

/// The nanoseconds of the digits after a point; what is below one is cut off.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let mut nanoseconds: u128 = 0;
    let mut scale: u128 = 1;
    // 3.6e12 is the largest unit: further digits are below a nanosecond
    for digit in digits.bytes().take(18) {
        nanoseconds = nanoseconds * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    u64::try_from(nanoseconds * u128::from(unit) / scale).unwrap_or(0)
}

/// A duration as Go prints it: `1m30s`, `0s`, `1.5ms`.
#[must_use]
pub fn display(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let decimal = |value: u64, unit: u64, name: &str| {
        let (whole, rest) = (value / unit, value % unit);
        let width = unit.ilog10() as usize;
        match format!("{rest:0width$}").trim_end_matches('0') {
            "" => format!("{whole}{name}"),
            fraction => format!("{whole}.{fraction}{name}"),
        }
    };
    let text = match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{total}ns"),
        1_000..1_000_000 => decimal(total, 1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => decimal(total, 1_000_000, "ms"),
        _ => {
            let minutes = total / 60_000_000_000;
            let seconds = decimal(total % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_reads_and_prints_them() {
        for (text, nanoseconds, printed) in [
            ("0", 0, "0s"),
            ("5s", 5_000_000_000, "5s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            (".5s", 500_000_000, "500ms"),
            ("1.s", 1_000_000_000, "1s"),
            ("+2ms", 2_000_000, "2ms"),
            ("1500us", 1_500_000, "1.5ms"),
            ("1.0000000001s", 1_000_000_000, "1s"),
            ("100h1ms", 360_000_001_000_000, "100h0m0.001s"),
            ("1ms1ns", 1_000_001, "1.000001ms"),
        ] {
            assert_eq!(interval(text), Ok(nanoseconds), "{text}");
            assert_eq!(display(nanoseconds), printed, "{text}");
        }
        assert_eq!(display(1_500), "1.5\u{b5}s");
        assert_eq!(display(-7), "-7ns");
    }

    #[test]
    fn what_is_no_interval() {
        for text in [
            "",
            "5",
            "s",
            ".s",
            "1x",
            "1 s",
            "1s ",
            "-",
            "1s2",
            "99999999999999999999s",
            "9999999999h",
            "1us",
            "-5s",
            "999999ns",
        ] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
