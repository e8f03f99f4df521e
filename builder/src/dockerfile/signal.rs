//! The signals of `STOPSIGNAL`.

/// The names that Linux has, without `SIG`; those of real time are numbered from `RTMIN` and `RTMAX`.
const NAMES: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// Whether docker takes this for a signal: a name, with or without `SIG` and in any case, or any number
/// but 0.
#[must_use]
pub fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let name = text.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let offset = |rest: &str, last: u32| {
        let number = rest.parse::<u32>().ok();
        rest.starts_with(|first: char| ('1'..='9').contains(&first))
            && number.is_some_and(|number| number <= last)
    };
    match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) | (_, Some("")) => true,
        (Some(rest), _) => rest.strip_prefix('+').is_some_and(|rest| offset(rest, 15)),
        (_, Some(rest)) => rest.strip_prefix('-').is_some_and(|rest| offset(rest, 14)),
        (None, None) => NAMES.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for good in [
            "SIGTERM",
            "term",
            "Sigkill",
            "9",
            "999",
            "-1",
            "RTMIN+3",
            "SIGRTMAX-14",
            "RTMAX",
        ] {
            assert!(is_signal(good), "{good}");
        }
        for bad in [
            "",
            "0",
            "SIG",
            "SIGSIGTERM",
            "FOO",
            "RTMIN+16",
            "RTMIN+03",
            "RTMAX-15",
            "RTMIN-1",
            "x y",
            "9.0",
        ] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}
