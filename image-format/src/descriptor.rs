//! Descriptors: what points at a blob.
//!
//! Source: OCI image specification, `descriptor.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;

/// The annotation that names a manifest in an image layout (`annotations.md`).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation in which containerd and docker keep an image's whole reference.
pub const IMAGE_NAME: &str = "io.containerd.image.name";

/// A blob's type, digest and size, and what else is said of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of the blob.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// Annotations by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// In an index: what machine the image runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Members that mkimg does not know, kept as they are.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Descriptor {
    /// A descriptor of these bytes.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// A descriptor with nothing beside the three members that every one has.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
            extra: BTreeMap::new(),
        }
    }
}

/// An operating system and a processor architecture, in Go's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// As in `amd64`, `arm64`.
    pub architecture: String,
    /// As in `linux`.
    pub os: String,
    /// As in `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Members that mkimg does not know, kept as they are.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Platform {
    /// The platform that this binary runs on.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: None,
            extra: BTreeMap::new(),
        }
    }

    /// Whether what is made for this platform is what is wanted for the other; a variant that one of them
    /// does not say is any.
    #[must_use]
    pub fn runs(&self, wanted: &Platform) -> bool {
        let variants = self.variant.as_ref().zip(wanted.variant.as_ref());
        (&self.os, &self.architecture) == (&wanted.os, &wanted.architecture)
            && variants.is_none_or(|(own, wanted)| own == wanted)
    }
}

impl Platform {
    /// How well what is made for this platform suits a machine of the other, by containerd's rules: the
    /// most where the variants are the same, less for older processors of the same kind, `None` where it
    /// does not run there.
    #[must_use]
    pub fn suits(&self, wanted: &Platform) -> Option<u32> {
        if (&self.os, &self.architecture) != (&wanted.os, &wanted.architecture) {
            return None;
        }
        let (own, wanted) = (self.generation(), wanted.generation());
        (own <= wanted).then_some(own)
    }

    /// The number of the variant; the one that the architecture alone stands for where none is said.
    fn generation(&self) -> u32 {
        let said = self.variant.as_deref().unwrap_or_default();
        let number = said.strip_prefix('v').unwrap_or(said);
        match number.parse() {
            Ok(number) => number,
            Err(_) => match self.architecture.as_str() {
                "arm" => 7,
                "arm64" => 8,
                _ => 1,
            },
        }
    }
}

impl std::fmt::Display for Platform {
    /// As in `linux/arm64/v8`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(formatter, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(architecture: &str, variant: &str) -> Platform {
        Platform {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: Some(variant.to_owned()).filter(|variant| !variant.is_empty()),
            extra: BTreeMap::new(),
        }
    }

    #[test]
    fn an_older_processor_of_the_kind_suits_less_and_a_newer_one_not_at_all() {
        let suits = |own: (&str, &str), wanted: (&str, &str)| {
            platform(own.0, own.1).suits(&platform(wanted.0, wanted.1))
        };
        assert_eq!(suits(("arm64", "v8"), ("arm64", "")), Some(8));
        assert_eq!(suits(("arm64", ""), ("arm64", "v8")), Some(8));
        assert!(suits(("arm", "v7"), ("arm", "")) > suits(("arm", "v6"), ("arm", "")));
        assert_eq!(suits(("arm", "v7"), ("arm", "v6")), None);
        assert_eq!(suits(("amd64", "v3"), ("amd64", "")), None);
        assert_eq!(suits(("amd64", ""), ("arm64", "")), None);
    }
}
