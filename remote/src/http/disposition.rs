//! What a file is called.
//!
//! Source: RFC 6266 (`Content-Disposition`) and RFC 8187 (`filename*`).

use reqwest::Url;

/// The longest name of a file on Linux, in bytes.
const LONGEST: usize = 255;

/// The name that a `Content-Disposition` gives, if it can be a file's.
pub fn name(header: &str) -> Option<String> {
    let mut plain = None;
    let mut rest = header.split_once(';')?.1;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let Some((key, value)) = rest.split_once('=') else {
            return plain;
        };
        let key = key.trim();
        let (value, after) = parameter(value.trim_start())?;
        if key.eq_ignore_ascii_case("filename*") {
            if let Some(name) = extended(&value).and_then(|name| safe(&name)) {
                return Some(name);
            }
        } else if key.eq_ignore_ascii_case("filename") {
            plain = safe(&value);
        }
        rest = after;
    }
}

/// The last part of an address's path, decoded; empty where it can be no file's name.
pub fn last_of(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut all| all.next_back());
    let name = last.and_then(decode).and_then(|name| safe(&name));
    name.unwrap_or_default()
}

/// A value, quoted or not, and what follows it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &quoted[at + 1..])),
            (_, '\\') => value.push(chars.next()?.1),
            (_, char) => value.push(char),
        }
    }
}

/// `UTF-8'en'a%20b`; other character sets are not in use.
fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    charset.eq_ignore_ascii_case("utf-8").then_some(())?;
    decode(encoded)
}

pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            bytes.push(u8::try_from(digit(0)? << 4 | digit(1)?).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The last part of a name, which is all that a server may choose.
fn safe(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next()?;
    let is_name = !matches!(last, "" | "." | "..")
        && last.len() <= LONGEST
        && !last.chars().any(char::is_control);
    is_name.then(|| last.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_refuses_what_is_none() {
        for (header, expected) in [
            ("attachment; filename=a.tar", Some("a.tar")),
            ("attachment; filename=\"a b;c.tar\"; x=1", Some("a b;c.tar")),
            (
                "attachment; filename=\"plain\"; filename*=UTF-8'en'%c3%a4.txt",
                Some("ä.txt"),
            ),
            ("attachment; filename*=latin'en'x; filename=y", Some("y")),
            ("attachment; FileName = \"q\\\"uote\"", Some("q\"uote")),
            ("attachment; filename=\"../../etc/passwd\"", Some("passwd")),
            ("attachment; filename=\"..\"", None),
            ("attachment; filename=\"a\nb\"", None),
            ("attachment; filename=\"open", None),
            ("attachment; filename=", None),
            ("attachment", None),
            ("attachment; filename*=UTF-8''%4", None),
        ] {
            assert_eq!(name(header).as_deref(), expected, "{header}");
        }
        assert_eq!(name(&format!("a; filename={}", "x".repeat(256))), None);
    }

    #[test]
    fn the_address_names_what_the_server_does_not() {
        for (url, expected) in [
            ("http://h/a/b.tar.gz?x=1#y", "b.tar.gz"),
            ("http://h/a%20b", "a b"),
            ("http://h/a/", ""),
            ("http://h", ""),
            ("http://h/%2e%2e%2fx", "x"),
            ("http://h/%00", ""),
        ] {
            assert_eq!(last_of(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
