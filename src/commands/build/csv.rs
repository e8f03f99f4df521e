//! `key=value,key=value`, with docker's quotes.

/// The fields of a line of comma-separated values (RFC 4180); `None` where its quotes are wrong.
pub fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                (
                    Some(field.to_owned()).filter(|field| !field.contains('"'))?,
                    after,
                )
            }
        };
        fields.push(field);
        if after.is_empty() {
            return Some(fields);
        }
        rest = after.strip_prefix(',')?;
    }
}

/// A field up to its closing quote, and what follows; two quotes are one.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_commas() {
        assert_eq!(fields("a,b=c,").unwrap(), ["a", "b=c", ""]);
        assert_eq!(fields(r#"a,"b=""c,d""""#).unwrap(), ["a", r#"b="c,d""#]);
        for wrong in [r#"a"b"#, r#""a"#, r#""a"b"#] {
            assert_eq!(fields(wrong), None, "{wrong}");
        }
    }
}
