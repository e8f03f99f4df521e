//! The client against Debian's registry.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use builder::cancel::Cancel;
use bytes::Bytes;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::media_type::{OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use remote::registry::{Access, Registries, RegistryError, Repository, TagOrDigest, Unset};
use support::registry::{Memory, fetch, noise};
use support::servers::registry::Registry;

struct Client {
    registry: Registry,
    registries: Registries,
}

impl Client {
    fn new() -> Self {
        Self {
            registry: Registry::start(),
            registries: Registries::new(Unset).unwrap(),
        }
    }

    fn repository(&self, name: &str) -> Repository {
        let reference = format!("{}/{name}", self.registry.host()).parse().unwrap();
        let cancel = Cancel::new();
        self.registries
            .repository(&reference, Access::Push, &cancel)
            .unwrap()
    }
}

fn tag(name: &str) -> TagOrDigest {
    TagOrDigest::Tag(name.to_owned())
}

#[test]
fn an_image_goes_there_and_comes_back() {
    let client = Client::new();
    let repository = client.repository("some/app");
    let (config, layer) = (b"{}".to_vec(), noise(3 << 20));
    client.registries.wait(async {
        repository.check_push().await.unwrap();
        let mut layers = Vec::new();
        for (kind, bytes) in [(OCI_CONFIG, &config), (OCI_LAYER, &layer)] {
            let descriptor = Descriptor::of(kind, bytes);
            assert!(!repository.has_blob(&descriptor.digest).await.unwrap());
            let source = Memory::new(bytes);
            let mut told = 0;
            let mut progress = |bytes| told = bytes;
            let size = descriptor.size;
            repository
                .upload_blob(&descriptor.digest, size, &source, &mut progress)
                .await
                .unwrap();
            assert_eq!(told, size);
            assert!(repository.has_blob(&descriptor.digest).await.unwrap());
            layers.push(descriptor);
        }
        let manifest = image_format::manifest::Manifest::new(layers.remove(0), layers);
        let bytes = Bytes::from(serde_json::to_vec(&manifest).unwrap());
        let put = repository
            .put_manifest(&tag("1"), OCI_MANIFEST, bytes.clone())
            .await
            .unwrap();
        assert_eq!(put.digest, Digest::of(&bytes));
        assert!(!put.subject_is_noted);
        let found = repository.resolve(&tag("1")).await.unwrap();
        assert_eq!(found, Descriptor::of(OCI_MANIFEST, &bytes));
        for which in [tag("1"), TagOrDigest::Digest(put.digest)] {
            let back = repository.manifest(&which).await.unwrap();
            assert_eq!(
                (back.bytes, back.descriptor),
                (bytes.clone(), found.clone())
            );
        }
        assert_eq!(
            fetch(&repository, &manifest.layers[0]).await.unwrap(),
            layer
        );
        assert_eq!(fetch(&repository, &manifest.config).await.unwrap(), config);

        let other = client.repository("other");
        let digest = manifest.layers[0].digest;
        assert!(other.mount_blob(&digest, "some/app").await.unwrap());
        assert!(other.has_blob(&digest).await.unwrap());
        assert_eq!(repository.tags().await.unwrap(), ["1"]);
        let referrers = repository.referrers(&put.digest, None).await.unwrap();
        assert!(referrers.from_tag && referrers.descriptors.is_empty());
        repository
            .delete_manifest(&TagOrDigest::Digest(put.digest))
            .await
            .unwrap();
        let gone = repository.resolve(&tag("1")).await.unwrap_err();
        assert!(gone.is_not_found(), "{gone}");
    });
}

#[test]
fn a_blob_is_sent_as_it_comes() {
    let client = Client::new();
    let repository = client.repository("app");
    client.registries.wait(async {
        // Nothing, a part of a chunk, a whole one, and several.
        for size in [0, 1000, 16 << 20, (40 << 20) + 7] {
            let bytes = noise(size);
            let source = Memory::new(&bytes);
            let sent = repository
                .upload_stream(&source, &mut |_| {})
                .await
                .unwrap();
            assert_eq!(sent, (Digest::of(&bytes), size as u64));
            let stored = std::fs::read(client.registry.blob(&sent.0.to_string())).unwrap();
            assert!(stored == bytes, "{size}");
        }
    });
}

#[test]
fn what_is_not_mounted_is_uploaded_where_that_was_begun() {
    let client = Client::new();
    let repository = client.repository("app");
    let bytes = noise(100_000);
    let digest = Digest::of(&bytes);
    client.registries.wait(async {
        assert!(
            !repository
                .mount_blob(&digest, "nobody/has/it")
                .await
                .unwrap()
        );
        let source = Memory::new(&bytes);
        repository
            .upload_blob(&digest, 100_000, &source, &mut |_| {})
            .await
            .unwrap();
        assert!(repository.has_blob(&digest).await.unwrap());
    });
}

#[test]
fn all_tags_are_listed() {
    let client = Client::new();
    let repository = client.repository("app");
    let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    client.registries.wait(async {
        for number in 0..25 {
            let bytes = Bytes::from_static(index);
            let kind = image_format::media_type::OCI_INDEX;
            repository
                .put_manifest(&tag(&format!("t{number:02}")), kind, bytes)
                .await
                .unwrap();
        }
        let mut tags = repository.tags().await.unwrap();
        tags.sort();
        assert_eq!((tags.len(), tags[24].as_str()), (25, "t24"));
    });
}

#[test]
fn what_a_registry_does_not_have_is_named() {
    let client = Client::new();
    let repository = client.repository("app");
    let error = client
        .registries
        .wait(repository.manifest(&tag("nope")))
        .unwrap_err();
    let text = error.to_string();
    let host = client.registry.host();
    assert!(
        text.contains(&format!("{host} has no manifest app:nope: ")),
        "{text}"
    );
    assert!(text.contains("unknown"), "{text}");
    assert!(
        error
            .hint()
            .unwrap()
            .contains(&format!("mkimg login {host}"))
    );
    let descriptor = Descriptor::of(OCI_LAYER, b"nothing like that");
    let error = client
        .registries
        .wait(fetch(&repository, &descriptor))
        .unwrap_err();
    assert!(
        error.to_string().contains(&descriptor.digest.to_string()),
        "{error}"
    );
    assert!(matches!(error, RegistryError::NotFound { .. }));
}
