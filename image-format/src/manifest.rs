//! Manifests of one image, and indexes of many.
//!
//! Sources: OCI image specification, `manifest.md` and `image-index.md`; docker's schema 2 has
//! the same members under other media types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::descriptor::{Descriptor, Platform};
use crate::media_type;

/// What an image is made of: its config and its layers, base first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::OCI_MANIFEST`] or docker's; the specification lets it be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// Annotations by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Members that mkimg does not know, kept as they are.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Manifest {
    /// An OCI manifest of an image.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            config,
            layers,
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        }
    }
}

/// A list of manifests: of one image's platforms, or of all images in a layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::OCI_INDEX`] or docker's; the specification lets it be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What is listed.
    #[serde(default, deserialize_with = "crate::config::null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// Annotations by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Members that mkimg does not know, kept as they are.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Index {
    /// The manifest or index that suits a platform best, of equals the first; an only one that says
    /// nothing of its platform may be for any.
    #[must_use]
    pub fn choose(&self, wanted: &Platform) -> Option<&Descriptor> {
        if let [only] = self.manifests.as_slice()
            && only.platform.is_none()
        {
            return Some(only);
        }
        let suits = |entry: &Descriptor| entry.platform.as_ref()?.suits(wanted);
        let all = self.manifests.iter().rev();
        all.filter_map(|entry| Some((suits(entry)?, entry)))
            .max_by_key(|(suits, _)| *suits)
            .map(|(_, entry)| entry)
    }

    /// The platforms that it has something for, as in `linux/amd64`.
    #[must_use]
    pub fn platforms(&self) -> Vec<String> {
        let all = self.manifests.iter();
        let all = all.filter_map(|entry| entry.platform.as_ref());
        // What tools say of attestations, which no machine runs.
        let real = all.filter(|platform| platform.os != "unknown");
        real.map(ToString::to_string).collect()
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.to_owned()),
            manifests: Vec::new(),
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        }
    }
}
