//! Ports as docker dislikes them.

use super::report::{Place, Report};
use super::rule::Rule;
use crate::dockerfile::Word;

pub(super) static EXPOSE_PROTO_CASING: Rule = Rule::docker(
    "ExposeProtoCasing",
    "expose-proto-casing",
    "The protocol of an EXPOSE has capitals in it",
    "write the protocol in lower case",
);
pub(super) static EXPOSE_INVALID_FORMAT: Rule = Rule::docker(
    "ExposeInvalidFormat",
    "expose-invalid-format",
    "EXPOSE names an address or a port of the host, which no image can choose",
    "name the port in the container alone; -p of a run maps it",
);

/// `word` is expanded.
pub(super) fn check(report: &mut Report<'_>, place: &Place, word: &Word) {
    let (host, port) = word.text.rsplit_once(':').unwrap_or(("", &word.text));
    let protocol = port.split_once('/').map_or("", |(_, protocol)| protocol);
    if protocol != protocol.to_lowercase() {
        let message = format!("the protocol of `{}` has capitals", word.text);
        report.warn(place, &EXPOSE_PROTO_CASING, word.span, message);
    }
    // `:80` and `::80` name neither
    if host.contains(|letter| letter != ':') {
        let message = format!("`{}` names more than a port of the container", word.text);
        report.warn(place, &EXPOSE_INVALID_FORMAT, word.span, message);
    }
}
