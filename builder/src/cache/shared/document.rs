//! The records of a shared cache, as a manifest has them.
//!
//! ```json
//! { "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
//!   "artifactType": "application/vnd.mkimg.cache.v1+json",
//!   "config": { "mediaType": "application/vnd.oci.empty.v1+json", … },
//!   "layers": [ … ],
//!   "annotations": { "mkimg.cache.v1": "{ \"version\": 1, \"scope\": \"main\", \"records\": [
//!       { \"key\": \"sha256:…\", \"layer\": { \"diffId\": \"sha256:…\", \"size\": 4096, \"blob\": 0 } },
//!       { \"key\": \"sha256:…\" } ] }" } }
//! ```
//!
//! `blob` is the layer's place among the manifest's, from 0; a step without `layer` makes none.
//!
//! Source: OCI image specification 1.1, `manifest.md`, "Guidelines for Artifact Usage".

use std::collections::{BTreeMap, BTreeSet};

use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::layout::LARGEST_DOCUMENT;
use image_format::manifest::Manifest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a manifest is that is nothing but a cache.
pub const ARTIFACT_TYPE: &str = "application/vnd.mkimg.cache.v1+json";
/// The annotation that has the records.
pub const ANNOTATION: &str = "mkimg.cache.v1";
/// The config of what has none, and its media type.
pub const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

const VERSION: u32 = 1;
/// The most records that are written: with their layers about 600 KB, where registries take 4 MiB.
const MOST: usize = 1_000;
/// The most that are read.
const MOST_READ: usize = 10_000;
/// The most bytes of the layers that are kept of earlier exports.
const MOST_BYTES: u64 = 10 << 30;

/// Why a manifest has no records that can be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is larger than a manifest can be.
    #[error("its manifest has {0} bytes, and {LARGEST_DOCUMENT} is the most that is read")]
    TooLarge(usize),
    /// It is none.
    #[error("its manifest is not valid JSON of its kind")]
    Manifest(#[source] serde_json::Error),
    /// It is BuildKit's.
    #[error("it is a cache of BuildKit's, whose keys are others")]
    BuildKit,
    /// It has no records.
    #[error("it is an image or an artifact without mkimg's cache in it")]
    NoRecords,
    /// The records are none.
    #[error("its records are not valid JSON of their kind")]
    Records(#[source] serde_json::Error),
    /// A newer mkimg made it.
    #[error("its records are of version {0}, and this mkimg reads version {VERSION}")]
    Version(u32),
    /// It was made for another scope.
    #[error("it was exported for the scope {0:?}")]
    Scope(String),
    /// There are too many.
    #[error("it has {0} records, and {MOST_READ} are the most that are read")]
    TooMany(usize),
    /// A record is of a layer that the manifest has not.
    #[error("the step {0} has a layer that the manifest does not list")]
    NoSuchLayer(Digest),
}

/// The records of a cache, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    scope: String,
    list: Vec<(Digest, Option<SharedLayer>)>,
}

/// A layer at the place of a cache.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedLayer {
    /// The digest of its tar.
    pub diff_id: Digest,
    /// The tar's size in bytes.
    pub size: u64,
    /// What the place has of it.
    pub blob: Descriptor,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    #[serde(default)]
    scope: String,
    records: Vec<WrittenRecord>,
}

#[derive(Serialize, Deserialize)]
struct WrittenRecord {
    key: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<WrittenLayer>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenLayer {
    diff_id: Digest,
    size: u64,
    blob: usize,
}

impl Records {
    /// The records of these steps, of which no two have the same key.
    #[must_use]
    pub fn new(scope: &str, list: Vec<(Digest, Option<SharedLayer>)>) -> Self {
        let scope = scope.to_owned();
        Self { scope, list }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The records by key.
    #[must_use]
    pub fn by_key(self) -> BTreeMap<Digest, Option<SharedLayer>> {
        // Of one key the newest counts.
        self.list.into_iter().rev().collect()
    }

    /// Reads those of a manifest.
    ///
    /// # Errors
    /// When there are none, or none for this scope, or not all is as it should be.
    pub fn read(manifest: &[u8], scope: &str) -> Result<Self, DocumentError> {
        /// What tells apart what can be there.
        #[derive(Deserialize)]
        struct Probe {
            config: Option<Typed>,
            #[serde(default)]
            manifests: Vec<Typed>,
            #[serde(default)]
            layers: Vec<Descriptor>,
            #[serde(default)]
            annotations: BTreeMap<String, String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Typed {
            #[serde(default)]
            media_type: String,
        }
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if manifest.len() as u64 > LARGEST_DOCUMENT {
            return Err(DocumentError::TooLarge(manifest.len()));
        }
        let probe: Probe = serde_json::from_slice(manifest).map_err(DocumentError::Manifest)?;
        let Some(text) = probe.annotations.get(ANNOTATION) else {
            let mut all = probe.config.iter().chain(&probe.manifests);
            let is_theirs = |typed: &Typed| typed.media_type.contains("vnd.buildkit.cacheconfig");
            return Err(match all.any(is_theirs) {
                true => DocumentError::BuildKit,
                false => DocumentError::NoRecords,
            });
        };
        let Versioned { version } = serde_json::from_str(text).map_err(DocumentError::Records)?;
        if version != VERSION {
            return Err(DocumentError::Version(version));
        }
        let written: Written = serde_json::from_str(text).map_err(DocumentError::Records)?;
        if written.scope != scope {
            return Err(DocumentError::Scope(written.scope));
        }
        if written.records.len() > MOST_READ {
            return Err(DocumentError::TooMany(written.records.len()));
        }
        let mut list = Vec::with_capacity(written.records.len());
        for WrittenRecord { key, layer } in written.records {
            let layer = layer.map(
                |WrittenLayer {
                     diff_id,
                     size,
                     blob,
                 }| {
                    let blob = probe.layers.get(blob).cloned();
                    let blob = blob.ok_or(DocumentError::NoSuchLayer(key))?;
                    Ok(SharedLayer {
                        diff_id,
                        size,
                        blob,
                    })
                },
            );
            list.push((key, layer.transpose()?));
        }
        Ok(Self::new(scope, list))
    }

    /// Adds those of earlier exports behind its own, as many as are kept.
    pub fn follow(&mut self, earlier: &Self) {
        let mut known: BTreeSet<Digest> = self.list.iter().map(|(key, _)| *key).collect();
        let mut bytes = 0_u64;
        for (key, layer) in &earlier.list {
            bytes = bytes.saturating_add(layer.as_ref().map_or(0, |layer| layer.blob.size));
            if self.list.len() >= MOST || bytes > MOST_BYTES {
                return;
            }
            if known.insert(*key) {
                self.list.push((*key, layer.clone()));
            }
        }
    }

    /// The annotation of a manifest with these layers.
    #[must_use]
    pub fn annotation(&self, layers: &[Descriptor]) -> String {
        let places = layers.iter().enumerate();
        let places: BTreeMap<Digest, usize> =
            places.map(|(at, layer)| (layer.digest, at)).collect();
        let records = self.list.iter().take(MOST).filter_map(|(key, layer)| {
            let layer = layer.as_ref().map(|layer| {
                let blob = *places.get(&layer.blob.digest)?;
                let (diff_id, size) = (layer.diff_id, layer.size);
                Some(WrittenLayer {
                    diff_id,
                    size,
                    blob,
                })
            });
            // One whose layer is not among these is of no use.
            let layer = match layer {
                Some(None) => return None,
                Some(layer) => layer,
                None => None,
            };
            Some(WrittenRecord { key: *key, layer })
        });
        let written = Written {
            version: VERSION,
            scope: self.scope.clone(),
            records: records.collect(),
        };
        json(&written)
    }

    /// The manifest of the artifact.
    #[must_use]
    pub fn manifest(&self) -> Vec<u8> {
        let mut seen = BTreeSet::new();
        let layers = self.list.iter().take(MOST);
        let layers = layers.filter_map(|(_, layer)| Some(layer.as_ref()?.blob.clone()));
        let layers: Vec<Descriptor> = layers.filter(|blob| seen.insert(blob.digest)).collect();
        let mut manifest = Manifest::new(Descriptor::of(EMPTY_TYPE, EMPTY), Vec::new());
        let annotation = self.annotation(&layers);
        manifest
            .annotations
            .insert(ANNOTATION.to_owned(), annotation);
        let artifact = Value::String(ARTIFACT_TYPE.to_owned());
        manifest.extra.insert("artifactType".to_owned(), artifact);
        manifest.layers = match layers.is_empty() {
            false => layers,
            // A manifest has at least one.
            true => vec![manifest.config.clone()],
        };
        json(&manifest).into_bytes()
    }
}

/// These types have nothing that cannot be JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use image_format::media_type::OCI_LAYER_GZIP;

    use super::*;

    fn digest(number: usize) -> Digest {
        Digest::of(number.to_string().as_bytes())
    }

    fn records(range: std::ops::Range<usize>) -> Records {
        let layer = |at: usize| SharedLayer {
            diff_id: digest(at + 100_000),
            size: 4096,
            blob: Descriptor::new(OCI_LAYER_GZIP, digest(at + 200_000), 1024),
        };
        // some make no layer, and some the same
        let list = range.map(|at| (digest(at), (at % 5 != 0).then(|| layer(at / 2 * 2))));
        Records::new("main", list.collect())
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 20] {
            let records = records(0..count);
            let manifest = records.manifest();
            assert_eq!(Records::read(&manifest, "main").unwrap(), records);
            let read: Manifest = serde_json::from_slice(&manifest).unwrap();
            assert!(!read.layers.is_empty());
            assert_eq!(records.manifest(), manifest);
        }
    }

    #[test]
    fn a_thousand_records_fit_a_manifest_and_the_oldest_go() {
        let mut all = records(0..600);
        all.follow(&records(300..2_000));
        assert_eq!(all.len(), MOST);
        let manifest = all.manifest();
        assert!(manifest.len() < 1 << 20, "{} bytes", manifest.len());
        let read = Records::read(&manifest, "main").unwrap();
        assert_eq!(read, records(0..1_000));
        let none = Records::read(&records(0..20_000).manifest(), "main").unwrap();
        assert_eq!(none.len(), MOST);
    }

    #[test]
    fn the_newest_of_a_key_counts() {
        let (new, old) = (records(2..3), records(3..4));
        let list = vec![new.list[0].clone(), (digest(2), old.list[0].1.clone())];
        let found = Records::new("", list).by_key();
        assert_eq!(found[&digest(2)], new.list[0].1);
    }

    #[test]
    fn what_is_foreign_or_hostile_is_refused() {
        let good = String::from_utf8(records(0..3).manifest()).unwrap();
        let with = |annotation: &str| {
            let mut manifest: Value = serde_json::from_str(&good).unwrap();
            manifest["annotations"][ANNOTATION] = annotation.into();
            manifest.to_string()
        };
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let record = format!(r#"{{"key":"{}"}}"#, digest(1));
        let many = vec![record.as_str(); MOST_READ + 1].join(",");
        let far = format!(
            r#"{{"key":"{0}","layer":{{"diffId":"{0}","size":1,"blob":99}}}}"#,
            digest(1)
        );
        for (manifest, says) in [
            (String::new(), "not valid JSON"),
            ("[1]".to_owned(), "not valid JSON"),
            (deep.clone(), "not valid JSON"),
            ("x".repeat(5 << 20), "the most that is read"),
            ("{}".to_owned(), "without mkimg's cache"),
            (with(""), "records are not valid JSON"),
            (with(&deep), "records are not valid JSON"),
            (
                with(r#"{"version":1,"scope":"main","records":7}"#),
                "records are not valid",
            ),
            (
                with(&format!(
                    r#"{{"version":1,"scope":"main","records":{deep}}}"#
                )),
                "records are not valid",
            ),
            (
                with(r#"{"version":1,"scope":"main","records":[{"key":"md5:00"}]}"#),
                "records are not valid",
            ),
            (with(r#"{"version":2,"other":[]}"#), "version 2"),
            (
                with(r#"{"version":1,"scope":"pr","records":[]}"#),
                "scope \"pr\"",
            ),
            (
                with(&format!(
                    r#"{{"version":1,"scope":"main","records":[{many}]}}"#
                )),
                "10001 records",
            ),
            (
                with(&format!(
                    r#"{{"version":1,"scope":"main","records":[{far}]}}"#
                )),
                "does not list",
            ),
            (
                r#"{"manifests":[{"mediaType":"application/vnd.buildkit.cacheconfig.v0"}]}"#.into(),
                "BuildKit",
            ),
            (
                r#"{"config":{"mediaType":"application/vnd.buildkit.cacheconfig.v0"}}"#.into(),
                "BuildKit",
            ),
        ] {
            let error = Records::read(manifest.as_bytes(), "main").unwrap_err();
            let error = error.to_string();
            let shown = &manifest[..manifest.len().min(200)];
            assert!(error.contains(says), "{shown}: {error}");
        }
    }
}
