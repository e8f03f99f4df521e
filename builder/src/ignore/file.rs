//! An ignore file as lines: what is a pattern, and how it is written in full.

use crate::lexical;

/// The patterns and their lines, cleaned and relative.
pub(super) fn read(text: &str) -> Vec<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut patterns = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let pattern = line.trim();
        // a blank before the `#` makes it a pattern
        if line.starts_with('#') || pattern.is_empty() {
            continue;
        }
        let (mark, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => ("!", rest.trim()),
            None => ("", pattern),
        };
        let cleaned = if pattern.is_empty() {
            String::new()
        } else {
            lexical::clean(pattern)
        };
        let relative = match cleaned.strip_prefix('/') {
            Some(rest) if !rest.is_empty() => rest,
            _ => &cleaned,
        };
        patterns.push((at + 1, format!("{mark}{relative}")));
    }
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_lines_as_docker() {
        for case in super::super::tests::records("ignorefile_read.jsonl") {
            let patterns: Vec<String> = read(case["content"].as_str().unwrap())
                .into_iter()
                .map(|(_, pattern)| pattern)
                .collect();
            assert_eq!(case["expect"], serde_json::Value::from(patterns));
        }
    }
}
