//! Sizes and times in docker's words.

/// A number of bytes with four significant digits: `4.262MB`. Units are powers of 1000.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        v if v >= 999.95 => 0,
        v if v >= 99.995 => 1,
        v if v >= 9.9995 => 2,
        _ => 3,
    };
    let number = format!("{value:.digits$}");
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => &number,
    };
    format!("{number}{}", UNITS[unit])
}

/// How long ago something was, in words: `3 weeks ago`. What is not yet is `Less than a second ago`.
pub fn ago(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    let days = hours / 24;
    let words = match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if days < 14 => format!("{days} days"),
        () if days < 60 => format!("{} weeks", days / 7),
        () if days < 730 => format!("{} months", days / 30),
        () => format!("{} years", days / 365),
    };
    words + " ago"
}

/// How long ago an RFC 3339 time was; `N/A` where it is none.
pub fn since(created: Option<&str>) -> String {
    let time = created.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    time.map_or_else(
        || "N/A".to_owned(),
        |time| ago(jiff::Timestamp::now().as_second() - time.as_second()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_four_digits() {
        let sizes = [0, 999, 1000, 1234, 99_999, 4_262_000, 123_456_789, u64::MAX];
        let words = [
            "0B", "999B", "1kB", "1.234kB", "100kB", "4.262MB", "123.5MB", "18.45EB",
        ];
        assert_eq!(sizes.map(size), words);
    }

    #[test]
    fn times_are_docker_words() {
        let times = [
            (-5, "Less than a second ago"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "About a minute ago"),
            (3599, "59 minutes ago"),
            (3600, "About an hour ago"),
            (36 * 3600, "36 hours ago"),
            (48 * 3600, "2 days ago"),
            (20 * 86400, "2 weeks ago"),
            (100 * 86400, "3 months ago"),
            (800 * 86400, "2 years ago"),
        ];
        for (seconds, words) in times {
            assert_eq!(ago(seconds), words);
        }
    }
}
