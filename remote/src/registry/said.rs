//! What a registry says of why it refuses.
//!
//! Source: OCI distribution specification 1.1, "Error Codes".

use serde::Deserialize;
use serde_json::Value;

/// As many bytes of an answer are read for it.
pub const LONGEST_ANSWER: usize = 64 * 1024;
/// As many characters of it are shown.
const LONGEST: usize = 600;
const MOST_ERRORS: usize = 5;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    errors: Vec<Value>,
    /// Token servers and some registries have their own forms.
    #[serde(default)]
    details: Option<Value>,
    #[serde(default)]
    error_description: Option<Value>,
    #[serde(default)]
    message: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

/// The words of an answer, harmless in a terminal and of bounded length; empty if there are none.
pub fn words(body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return String::new();
    };
    let errors = answer.errors.iter().take(MOST_ERRORS).map(one);
    let mut all: Vec<String> = errors.filter(|text| !text.is_empty()).collect();
    if all.is_empty() {
        let others = [
            answer.details,
            answer.error_description,
            answer.message,
            answer.error,
        ];
        let mut texts = others.iter().flatten().filter_map(Value::as_str);
        all.extend(texts.next().map(harmless));
    }
    shortened(&all.join("; "))
}

fn one(error: &Value) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let (code, message) = (text("code"), text("message"));
    let mut words = match (code, message) {
        ("", message) => harmless(message),
        (code, "") => harmless(code),
        (code, message) => format!("{} ({})", harmless(message), harmless(code)),
    };
    match error.get("detail") {
        None | Some(Value::Null) => {}
        Some(Value::String(detail)) if detail.is_empty() || detail == message => {}
        Some(Value::String(detail)) => words.push_str(&format!(": {}", harmless(detail))),
        Some(detail) => words.push_str(&format!(": {}", harmless(&detail.to_string()))),
    }
    words
}

/// Without what would move a cursor, change a colour or turn the direction of writing.
pub fn harmless(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let shown = text.chars().take(LONGEST);
    shown
        .map(|c| if is_harmful(c) { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_registries_say() {
        for (body, expected) in [
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#,
                "manifest unknown (MANIFEST_UNKNOWN): {\"Tag\":\"x\"}",
            ),
            (
                r#"{"errors":[{"code":"DENIED"},{"message":"no","detail":"no"}]}"#,
                "DENIED; no",
            ),
            (
                r#"{"details":"incorrect username or password"}"#,
                "incorrect username or password",
            ),
            (
                r#"{"error":"invalid_grant","error_description":"expired"}"#,
                "expired",
            ),
            (r#"{"errors":[]}"#, ""),
            ("<html>", ""),
            ("", ""),
        ] {
            assert_eq!(words(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn what_it_says_is_harmless_and_short() {
        let body = r#"{"errors":[{"message":"a\u001b[31mb\u202ec\nd"}]}"#;
        assert_eq!(words(body.as_bytes()), "a [31mb c d");
        let error = format!(
            r#"{{"message":"{}","detail":"{}"}}"#,
            "é".repeat(9_000),
            "x".repeat(9_000)
        );
        let many = vec![error; 50].join(",");
        assert!(
            words(format!(r#"{{"errors":[{many}]}}"#).as_bytes())
                .chars()
                .count()
                <= LONGEST + 1
        );
    }
}
