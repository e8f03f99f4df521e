//! `--metadata-file`: what was built, in the members that docker's buildx writes.

use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::reference::Reference;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::output;

/// The text of the file, of the manifest and the ID of the image that was written; without one there is
/// nothing to tell.
pub fn of<'a>(
    image: Option<(Descriptor, Digest)>,
    names: impl Iterator<Item = &'a Reference>,
) -> Result<String, Error> {
    let mut members = Map::new();
    if let Some((manifest, id)) = image {
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        let failed = |error: serde_json::Error| output::failed(error.into());
        let descriptor = serde_json::to_value(&manifest).map_err(failed)?;
        add("containerimage.config.digest", json!(id));
        add("containerimage.descriptor", descriptor);
        add("containerimage.digest", json!(manifest.digest));
        let mut all: Vec<String> = Vec::new();
        for name in names.map(ToString::to_string) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        if !all.is_empty() {
            add("image.name", json!(all.join(",")));
        }
    }
    let text = serde_json::to_string_pretty(&members).map_err(|error| output::failed(error.into()));
    Ok(text? + "\n")
}
