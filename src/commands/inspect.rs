//! `mkimg inspect`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use image_format::config::ContainerConfig;
use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::layout::{Image, Store, name_of};
use serde::Serialize;
use serde_json::Value;

use crate::cli::Globals;
use crate::error::Error;
use crate::output;

/// Flags of `mkimg inspect`.
#[derive(Args)]
pub struct InspectArgs {
    /// Names or IDs of images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// What is inspected
    #[arg(long, value_enum, default_value_t, value_name = "TYPE")]
    r#type: Inspectable,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    format: InspectFormat,
}

/// What `inspect` knows.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Inspectable {
    /// Images
    #[default]
    Image,
}

/// How `inspect` prints.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum InspectFormat {
    /// A JSON array
    #[default]
    Json,
}

/// An image as `docker inspect` shows it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: Digest,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    config: ContainerConfig,
    architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    os: String,
    size: u64,
    #[serde(rename = "RootFS")]
    root_fs: Layers,
    descriptor: Descriptor,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Layers {
    r#type: String,
    layers: Vec<Digest>,
}

/// Shows what is known of images, as a JSON array.
pub fn run(args: &InspectArgs, globals: &Globals) -> Result<ExitCode, Error> {
    let (Inspectable::Image, InspectFormat::Json) = (args.r#type, args.format);
    let store = globals.open_store()?;
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for name in &args.images {
        match store.resolve(name) {
            Ok(image) => found.push(inspected(&store, image)?),
            Err(error) => errors.push(Error::from(error)),
        }
    }
    output::json(&found)?;
    Error::all(errors)?;
    Ok(ExitCode::SUCCESS)
}

fn inspected(store: &Store, image: Image) -> Result<Inspected, Error> {
    let (mut repo_tags, mut repo_digests) = (Vec::new(), Vec::new());
    let digest = image.descriptor.digest;
    let entries = store.index()?.manifests;
    for name in entries
        .iter()
        .filter(|entry| entry.digest == digest)
        .filter_map(name_of)
    {
        repo_tags.push(name.familiar());
        let by_digest = format!("{}@{digest}", name.familiar_name());
        if !repo_digests.contains(&by_digest) {
            repo_digests.push(by_digest);
        }
    }
    let size = image.size();
    let Image {
        manifest,
        config,
        descriptor,
        ..
    } = image;
    let comment = config
        .history
        .last()
        .and_then(|last| last.extra.get("comment").cloned());
    Ok(Inspected {
        id: manifest.config.digest,
        repo_tags,
        repo_digests,
        comment,
        created: config.created,
        author: config.author,
        config: config.config,
        architecture: config.architecture,
        variant: config.variant,
        os: config.os,
        size,
        root_fs: Layers {
            r#type: config.rootfs.kind,
            layers: config.rootfs.diff_ids,
        },
        descriptor: Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size),
    })
}
