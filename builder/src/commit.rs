//! From a stage to an image with a name: written, made durable, and only then named.

use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::layout::{Store, StoreError, name_of, write_annotated};

use crate::cache::shared;
use crate::error::BuildError;
use crate::execute::BuiltStep;
use crate::leak::Search;
use crate::request::BuildRequest;
use crate::stage::StageState;

/// Makes the stage's image with the labels and annotations of the request, and gives it its names.
/// `steps` are those of the build, `created` is the time in its config. An image that holds a secret gets none. Gives its manifest and its ID.
pub(crate) fn commit(
    request: &BuildRequest,
    mut stage: StageState,
    steps: &[BuiltStep],
    created: &str,
    secrets: &Search<'_>,
) -> Result<(Descriptor, Digest), BuildError> {
    let store = &request.store;
    stage.config.created = Some(created.to_owned());
    let labels = request.labels.clone();
    stage.config.config.labels.extend(labels);
    let unwritten = |source| StoreError::Document {
        what: "the config".to_owned(),
        source,
    };
    let id = Digest::of(&serde_json::to_vec(&stage.config).map_err(unwritten)?);
    let mut annotations = request.annotations.clone();
    let said = serde_json::json!({ "annotations": annotations });
    let config = serde_json::to_value(&stage.config).map_err(unwritten)?;
    for document in [&config, &said] {
        let searched = secrets.document(document);
        searched.map_err(|source| BuildError::Leak { span: None, source })?;
    }
    let own = stage.layers[stage.durable..].iter();
    let mut new: Vec<Digest> = own.map(|layer| layer.digest).collect();
    if request.inline_cache {
        let records = shared::inline(steps).annotation(&stage.layers);
        annotations.insert(shared::document::ANNOTATION.to_owned(), records);
    }
    let manifest = write_annotated(store, &stage.config, stage.layers, annotations)?;
    new.extend([id, manifest.digest]);
    if request.keep && !is_named(store, request, &manifest)? {
        store.sync(&new)?;
        for tag in &request.tags {
            store.tag(tag, &manifest)?;
        }
        if request.tags.is_empty() {
            store.keep(&manifest)?;
        }
    }
    Ok((manifest, id))
}

/// Whether the index has all of it already; what it has is durable.
fn is_named(
    store: &Store,
    request: &BuildRequest,
    manifest: &Descriptor,
) -> Result<bool, StoreError> {
    let index = store.index()?;
    let mut entries = index
        .manifests
        .iter()
        .filter(|entry| entry.digest == manifest.digest);
    if request.tags.is_empty() {
        return Ok(entries.next().is_some());
    }
    let names: Vec<_> = entries.filter_map(name_of).collect();
    let tags = request.tags.iter().cloned();
    Ok(tags
        .map(|tag| tag.with_default_tag())
        .all(|tag| names.contains(&tag)))
}
