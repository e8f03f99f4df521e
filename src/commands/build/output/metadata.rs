//! `--metadata-file`: what was built, in the members that docker's buildx writes.

use builder::{Built, Material};
use image_format::descriptor::Descriptor;
use image_format::reference::Reference;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::output;

/// The text of the file, of the manifest of the image that was written; without one there is nothing to
/// tell.
pub fn of<'a>(
    image: Option<(Descriptor, &Built)>,
    names: impl Iterator<Item = &'a Reference>,
) -> Result<String, Error> {
    let mut members = Map::new();
    if let Some((manifest, built)) = image {
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        let failed = |error: serde_json::Error| output::failed(error.into());
        let descriptor = serde_json::to_value(&manifest).map_err(failed)?;
        if !built.materials.is_empty() {
            let materials: Vec<Value> = built.materials.iter().filter_map(material).collect();
            add("buildx.build.provenance", json!({ "materials": materials }));
        }
        add("containerimage.config.digest", json!(built.id));
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

/// An image that the build took from, as a package URL names it (purl-spec, `docker`).
fn material(material: &Material) -> Option<Value> {
    let reference = material.name.parse::<Reference>().ok()?.with_default_tag();
    let version = reference.tag().map(|tag| format!("@{tag}"));
    let name = reference.familiar_name();
    let platform = material.platform.replace('/', "%2F");
    let uri = format!(
        "pkg:docker/{name}{}?platform={platform}",
        version.unwrap_or_default()
    );
    Some(json!({ "uri": uri, "digest": { "sha256": material.digest.hex() } }))
}
