//! What is found, for code hosts: SARIF 2.1.0 (OASIS, «Static Analysis Results Interchange Format»).

use builder::check::Checked;
use builder::dockerfile::check::RULES;
use builder::dockerfile::{Source, Span};
use builder::request::DockerfileText;
use serde_json::{Value, json};

use crate::diagnostic;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The rule of a Dockerfile that cannot be built.
const INVALID: &str = "InvalidDockerfile";

/// The document: one run, all rules, and a result for each thing that was found.
pub fn document(dockerfile: &DockerfileText, checked: &Checked) -> Value {
    let source = Source::new(&dockerfile.text);
    let uri = uri(&dockerfile.name);
    let mut results: Vec<Value> = checked
        .warnings
        .iter()
        .map(|warning| {
            let rule = RULES.iter().position(|rule| *rule == warning.rule);
            let message = format!("{}: {}", warning.message, warning.help());
            result(
                warning.rule.name,
                rule,
                "warning",
                &message,
                location(&uri, &source, Some(warning.span)),
            )
        })
        .collect();
    if let Some(error) = &checked.error {
        let mut message = diagnostic::chain(error);
        if let Some(hint) = error.hint() {
            message = format!("{message}: {hint}");
        }
        let place = location(&uri, &source, error.span());
        results.push(result(INVALID, Some(RULES.len()), "error", &message, place));
    }
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "mkimg",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rules() -> Vec<Value> {
    let invalid = rule(
        INVALID,
        "The Dockerfile cannot be built",
        "mend what the message says",
    );
    let known = RULES.iter().map(|known| {
        let mut rule = rule(known.name, known.description, known.help);
        if let Some(url) = known.url() {
            rule["helpUri"] = url.into();
        }
        rule
    });
    known.chain([invalid]).collect()
}

fn rule(id: &str, description: &str, help: &str) -> Value {
    json!({
        "id": id,
        "name": id,
        "shortDescription": { "text": description },
        "fullDescription": { "text": description },
        "help": { "text": help },
    })
}

fn result(rule: &str, index: Option<usize>, level: &str, message: &str, location: Value) -> Value {
    let mut result = json!({
        "ruleId": rule,
        "level": level,
        "message": { "text": message },
        "locations": [location],
    });
    if let Some(index) = index {
        result["ruleIndex"] = index.into();
    }
    result
}

fn location(uri: &str, source: &Source, span: Option<Span>) -> Value {
    let mut place = json!({ "artifactLocation": { "uri": uri } });
    if let Some(span) = span {
        let text = source.slice(span);
        let (start, end) = (
            source.position(span.start),
            source.position(span.start + text.trim_end().len()),
        );
        place["region"] = json!({
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        });
    }
    json!({ "physicalLocation": place })
}

/// A path as a URI: relative to the working directory where it is below that, for code hosts know the files of
/// their repository by such.
fn uri(path: &str) -> String {
    let path = std::path::Path::new(path);
    let relative = match std::env::current_dir() {
        Ok(dir) => path.strip_prefix(dir).unwrap_or(path),
        Err(_) => path,
    };
    let relative = relative
        .strip_prefix(".")
        .unwrap_or(relative)
        .to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let mut uri = String::new();
    for byte in relative.bytes() {
        match plain(byte) {
            true => uri.push(char::from(byte)),
            false => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    match uri.starts_with('/') {
        true => format!("file://{uri}"),
        false => uri,
    }
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_as_uris() {
        assert_eq!(uri("Dockerfile"), "Dockerfile");
        assert_eq!(uri("./a b/Dockerfile"), "a%20b/Dockerfile");
        assert_eq!(uri("/elsewhere/ü"), "file:///elsewhere/%C3%BC");
        let here = std::env::current_dir().unwrap().join("x/Dockerfile");
        assert_eq!(uri(here.to_str().unwrap()), "x/Dockerfile");
    }
}
