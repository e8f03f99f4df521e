//! Where the public cases lie.

use serde_json::Value;

/// The records of one file; nothing, and a word about it, where the cases are absent.
pub fn records(file: &str) -> Option<Vec<Value>> {
    let dir = std::env::var("MKIMG_CORPORA").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora").to_owned()
    });
    let Ok(text) = std::fs::read_to_string(format!("{dir}/{file}")) else {
        println!("no corpora at {dir}: the cases of {file} were not run");
        return None;
    };
    let record = |line| serde_json::from_str(line).unwrap();
    Some(text.lines().map(record).collect())
}
