//! `--build-context`: a name, and what it stands for.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use builder::check::CheckedContext;
use builder::progress::Event;
use builder::remote::{ImageSource, Pulling, Remote as _};
use builder::request::{ContextSource, NamedContext, context_name};
use image_format::archive::{Wanted, load_one};
use image_format::digest::{Digest, DigestError};
use image_format::layout::{Store, StoreError, TmpDir};
use image_format::reference::{Reference, ReferenceError};

use super::place::{Place, address, nearest_path};
use super::{InputError, Reader, archive};

/// A `--build-context` as it is written.
#[derive(Clone, Debug)]
pub struct NamedArg {
    /// The name, as docker compares it.
    pub(super) name: String,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// An image of the store.
    Image(String),
    /// An image of a layout.
    Layout { path: PathBuf, wanted: Wanted },
    /// A directory, or an address.
    Place(String),
}

/// Why a `--build-context` is none.
#[derive(Debug, thiserror::Error)]
pub enum NamedArgError {
    /// There is no `=`, or nothing on one side of it.
    #[error("it takes NAME=CONTEXT")]
    Form,
    /// The name is none.
    #[error("{0}")]
    Name(#[from] ReferenceError),
    /// The digest of an image in a layout is none.
    #[error("{0}")]
    Digest(#[from] DigestError),
    /// docker's `bake` alone has these.
    #[error("target: names what bake builds, and there is none here")]
    Target,
}

impl FromStr for NamedArg {
    type Err = NamedArgError;

    fn from_str(text: &str) -> Result<Self, NamedArgError> {
        let (name, value) = text.split_once('=').ok_or(NamedArgError::Form)?;
        if name.is_empty() || value.is_empty() {
            return Err(NamedArgError::Form);
        }
        let rest = |kind: &str| {
            let rest = value.strip_prefix(kind)?.strip_prefix(':')?;
            Some(rest.strip_prefix("//").unwrap_or(rest))
        };
        let what = if let Some(image) = rest("docker-image") {
            What::Image(image.to_owned())
        } else if let Some(layout) = rest("oci-layout") {
            let (path, wanted) = layout_and_image(layout)?;
            What::Layout { path, wanted }
        } else if value.starts_with("target:") {
            return Err(NamedArgError::Target);
        } else {
            What::Place(value.to_owned())
        };
        let name = context_name(name)?;
        Ok(Self { name, what })
    }
}

/// `DIR`, `DIR:TAG` or `DIR@DIGEST`; the tag is `latest` where none is written.
fn layout_and_image(text: &str) -> Result<(PathBuf, Wanted), DigestError> {
    let (rest, digest) = match text.rsplit_once('@') {
        Some((rest, digest)) if !digest.contains('/') => (rest, Some(digest.parse::<Digest>()?)),
        _ => (text, None),
    };
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (rest, "latest"),
    };
    let wanted = match digest {
        Some(digest) => Wanted::Digest(digest),
        None => Wanted::Tag(tag.to_owned()),
    };
    Ok((path.into(), wanted))
}

impl NamedArg {
    /// Finds out whether a directory is there, before anything is fetched.
    pub(super) fn check(&self) -> Result<(), InputError> {
        match &self.what {
            What::Image(_) => Ok(()),
            What::Layout { path, .. } => self.directory(path),
            What::Place(text) => match address(text)? {
                Some(_) => Ok(()),
                None => self.directory(Path::new(text)),
            },
        }
    }

    fn directory(&self, path: &Path) -> Result<(), InputError> {
        if fs::metadata(path).is_ok_and(|found| found.is_dir()) {
            return Ok(());
        }
        Err(InputError::NoDirectory {
            name: self.name.clone(),
            path: path.to_owned(),
            nearest: nearest_path(path),
        })
    }

    /// What is known of it without reading it.
    pub(super) fn for_check(&self, store: Option<&Store>) -> CheckedContext {
        match &self.what {
            What::Image(image) => {
                let found = store.and_then(|store| store.resolve(image).ok());
                CheckedContext::Image(found.map(|image| Box::new(image.config)))
            }
            What::Layout { .. } => CheckedContext::Image(None),
            What::Place(_) => CheckedContext::Files,
        }
    }

    pub(super) fn load(
        &self,
        reader: &Reader<'_>,
        held: &mut Vec<TmpDir>,
    ) -> Result<NamedContext, InputError> {
        let text = match &self.what {
            What::Image(image) => return self.image(reader, image),
            What::Layout { path, wanted } => {
                let image = load_one(reader.store, path, wanted);
                let image = image.map_err(|source| InputError::Layout {
                    name: self.name.clone(),
                    path: path.clone(),
                    source: Box::new(source),
                })?;
                return Ok(NamedContext::Image(Box::new(image)));
            }
            What::Place(text) => text,
        };
        let path = match address(text)? {
            Some(Place::Git(repository)) => repository.check_out(reader)?.checkout.path,
            // As docker has it: the file as it is, whether it is an archive or not.
            Some(Place::Http(url)) => {
                let fetched = reader.remote.http(&url, &mut |_, _| {}, reader.cancel)?;
                let name = Some(fetched.name.as_str()).filter(|name| !name.is_empty());
                let dir = archive::alone(reader.store, &fetched.path, name.unwrap_or("download"))?;
                let path = dir.path().to_owned();
                held.push(dir);
                path
            }
            _ => {
                return Ok(NamedContext::Files(ContextSource::from(PathBuf::from(
                    text,
                ))));
            }
        };
        let ignores = false;
        Ok(NamedContext::Files(ContextSource::Directory {
            path,
            ignores,
        }))
    }

    fn image(&self, reader: &Reader<'_>, image: &str) -> Result<NamedContext, InputError> {
        let here = reader.store.resolve(image);
        let ask = reader.pull.asks(&here);
        let reference = image.parse::<Reference>().ok();
        if let Some(reference) = reference.filter(|_| ask) {
            let wanted = ImageSource {
                reference: &reference,
                pinned: None,
                platform: None,
            };
            let name = image;
            let hear = |what: Pulling<'_>| reader.progress.event(Event::Pulling { name, what });
            let image = reader.remote.image(&wanted, &hear, reader.cancel)?;
            return Ok(NamedContext::Image(Box::new(image)));
        }
        match here {
            Ok(image) => Ok(NamedContext::Image(Box::new(image))),
            Err(StoreError::NoImage { name, nearest }) => Err(InputError::NoImage {
                name: self.name.clone(),
                image: name,
                nearest,
            }),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn layouts_name_an_image_by_tag_or_digest() {
        let of = |text: &str| match text.parse::<NamedArg>().unwrap().what {
            What::Layout { path, wanted } => (path.display().to_string(), wanted),
            other => panic!("{text}: {other:?}"),
        };
        let tag = |tag: &str| Wanted::Tag(tag.to_owned());
        assert_eq!(of("x=oci-layout:d"), ("d".into(), tag("latest")));
        assert_eq!(of("x=oci-layout://d/e:1"), ("d/e".into(), tag("1")));
        assert_eq!(
            of("x=oci-layout:///a:b/c"),
            ("/a:b/c".into(), tag("latest"))
        );
        let digest = Digest::of(b"");
        for text in [format!("d@{digest}"), format!("d:1@{digest}")] {
            let wanted = Wanted::Digest(digest);
            assert_eq!(of(&format!("x=oci-layout:{text}")), ("d".into(), wanted));
        }
        assert!("x=oci-layout:d@sha256:1".parse::<NamedArg>().is_err());
    }

    #[test]
    fn names_are_those_of_images() {
        let name = |text: &str| text.parse::<NamedArg>().map(|arg| arg.name);
        assert_eq!(name("docker.io/library/x:latest=d").unwrap(), "x");
        assert_eq!(name("x:1=a=b").unwrap(), "x:1");
        for wrong in ["x", "x=", "=d", "Upper=d", "x=target:y"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
