//! What is found, with the members that docker's checks have (`docker build --call=check,format=json`).

use builder::check::Checked;
use builder::dockerfile::Source;
use builder::request::DockerfileText;
use serde_json::{Value, json};

use crate::diagnostic;

/// The document. Lines are counted from 1; as docker has it, a place is whole lines.
pub fn document(dockerfile: &DockerfileText, checked: &Checked) -> Value {
    let warnings = checked.warnings.iter().map(|warning| {
        let mut found = json!({
            "ruleName": warning.rule.name,
            "description": warning.rule.description,
            "detail": warning.message,
            "location": location(*warning.lines.start(), *warning.lines.end()),
        });
        if let Some(url) = warning.rule.url() {
            found["url"] = url.into();
        }
        found
    });
    let mut document = json!({
        "warnings": warnings.collect::<Vec<_>>(),
        "sources": [{ "filename": dockerfile.name, "language": "Dockerfile" }],
    });
    if let Some(error) = &checked.error {
        document["buildError"] = json!({ "message": diagnostic::chain(error) });
        if let Some(span) = error.span() {
            let source = Source::new(&dockerfile.text);
            let last = source.position(span.end.saturating_sub(1)).line;
            document["buildError"]["location"] = location(span.line, last.max(span.line));
        }
    }
    document
}

fn location(first: usize, last: usize) -> Value {
    json!({
        "sourceIndex": 0,
        "ranges": [{ "start": { "line": first }, "end": { "line": last } }],
    })
}
