//! `--output`: what is written, and where.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use builder::dockerfile::mount::csv;
use image_format::archive::Compression;
use image_format::nearest::nearest;
use image_format::reference::{Reference, ReferenceError};
use remote::push::Packing;

use crate::commands::build::annotation::{Annotation, AnnotationError};

/// What all kinds of outputs can be told.
const ATTRIBUTES: [&str; 12] = [
    "type",
    "dest",
    "name",
    "tar",
    "push",
    "store",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "platform-split",
    "annotation",
];
const TYPES: [&str; 7] = [
    "image",
    "oci",
    "docker",
    "tar",
    "local",
    "registry",
    "cacheonly",
];
/// Levels of compression that every reader has the memory for.
const MOST_GZIP: u32 = 9;
const MOST_ZSTD: i32 = 19;

/// One `--output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What is written.
    pub kind: Kind,
    /// The names that the image gets in it.
    pub names: Vec<Reference>,
    /// Annotations of the image in it.
    pub annotations: BTreeMap<String, String>,
    /// How its layers are compressed when it is pushed; `None` where it is not.
    pub push: Option<Packing>,
}

/// What is written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The image stays in the store.
    Image,
    /// The image leaves the store.
    Archive {
        /// Whether it is for `docker load`, too.
        docker: bool,
        /// As one tar, or a directory.
        tar: bool,
        /// How its layers are compressed; as they are stored where absent.
        compression: Option<Compression>,
        /// Whether that holds for layers that are compressed already.
        force: bool,
        /// Where to.
        dest: Dest,
    },
    /// The root file system as a tar.
    Tar(Dest),
    /// The files of the root file system, into a directory.
    Local(PathBuf),
    /// Nothing: the cache alone has it.
    CacheOnly,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dest {
    /// To standard output.
    Stdout,
    /// To this file or directory.
    Path(PathBuf),
}

/// Why an `--output` is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// Quotes that are not closed, or in the middle.
    #[error("its KEY=VALUE are not well-formed: {0}")]
    Quotes(&'static str),
    /// A field without `=`.
    #[error("{0:?} is not KEY=VALUE")]
    Field(String),
    /// No type.
    #[error("it has no type=: {}", TYPES.join(", "))]
    NoType,
    /// A type that there is not.
    #[error("there is no type={found}: {}", match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => TYPES.join(", "),
    })]
    Type {
        /// What was given.
        found: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A key that there is not.
    #[error("there is no {found}={}", match nearest {
        Some(nearest) => format!(": did you mean {nearest}?"),
        None => String::new(),
    })]
    Unknown {
        /// The key.
        found: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A key of another type.
    #[error("type={kind} takes no {key}=")]
    NotOfType {
        /// The type.
        kind: String,
        /// The key.
        key: String,
    },
    /// A value that a key cannot have.
    #[error("{key} is {takes}, not {found:?}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it can be.
        takes: &'static str,
        /// What was given.
        found: String,
    },
    /// A key whose other value mkimg does not write.
    #[error("{key}={found} is not supported: {reason}")]
    NotSupported {
        /// The key.
        key: &'static str,
        /// The value.
        found: String,
        /// Why not.
        reason: &'static str,
    },
    /// A directory is needed.
    #[error("it takes dest=DIR")]
    NoDirectory,
    /// A level without what it is of.
    #[error("compression-level takes a compression: gzip or zstd")]
    Level,
    /// A name is none.
    #[error("{0}")]
    Name(#[from] ReferenceError),
    /// A name with a digest.
    #[error("{0:?} has a digest, and that is not for anybody to choose")]
    Digest(String),
    /// An annotation is none.
    #[error("{0}")]
    Annotation(#[from] AnnotationError),
}

impl FromStr for Output {
    type Err = OutputError;

    /// Reads `type=…,dest=…`, a directory alone, or `-` for a tar on standard output.
    fn from_str(text: &str) -> Result<Self, OutputError> {
        let plain = |kind| Self {
            kind,
            names: Vec::new(),
            annotations: BTreeMap::new(),
            push: None,
        };
        let fields = match csv::fields(text) {
            Ok(fields) => fields.into_iter().map(|field| field.text),
            Err(malformed) => return Err(OutputError::Quotes(malformed.reason)),
        };
        let fields: Vec<String> = fields.collect();
        if let [only] = fields.as_slice()
            && only == text
            && !text.starts_with("type=")
        {
            return match text {
                "-" => Ok(plain(Kind::Tar(Dest::Stdout))),
                dir => Ok(plain(Kind::Local(dir.into()))),
            };
        }
        let mut given = Given::read(&fields)?;
        let kind = given.take("type").ok_or(OutputError::NoType)?;
        given.kind.clone_from(&kind);
        let push = given.push(&kind)?;
        let output = Self {
            push,
            kind: given.kind(&kind)?,
            names: given.names()?,
            annotations: given.annotations()?,
        };
        given.finish(output)
    }
}

/// What is given and not yet taken.
struct Given {
    kind: String,
    values: BTreeMap<String, String>,
}

impl Given {
    fn read(fields: &[String]) -> Result<Self, OutputError> {
        let mut values = BTreeMap::new();
        for field in fields {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| OutputError::Field(field.clone()))?;
            // The keys of annotations have their case.
            let key = match key.trim() {
                key if key.starts_with("annotation") => key.to_owned(),
                key => key.to_ascii_lowercase(),
            };
            values.insert(key, value.to_owned());
        }
        let kind = String::new();
        Ok(Self { kind, values })
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }

    fn flag(&mut self, key: &'static str) -> Result<Option<bool>, OutputError> {
        let Some(found) = self.take(key) else {
            return Ok(None);
        };
        match found.as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(OutputError::Value {
                key,
                takes: "true or false",
                found,
            }),
        }
    }

    /// Whether the image is pushed, and how.
    fn push(&mut self, kind: &str) -> Result<Option<Packing>, OutputError> {
        let asked = self.flag("push")?;
        match (kind, asked) {
            ("registry", Some(false)) => Err(OutputError::NotSupported {
                key: "push",
                found: "false".to_owned(),
                reason: "type=image is what is not pushed",
            }),
            ("registry", _) | ("image", Some(true)) => {
                let compression = self.compression()?;
                let force = self.flag("force-compression")?.unwrap_or(false);
                let compression = compression.unwrap_or(Packing::default().compression);
                Ok(Some(Packing { compression, force }))
            }
            (_, Some(true)) => Err(OutputError::NotSupported {
                key: "push",
                found: "true".to_owned(),
                reason: "type=image and type=registry are what can be pushed",
            }),
            _ => Ok(None),
        }
    }

    fn kind(&mut self, kind: &str) -> Result<Kind, OutputError> {
        let dest = |dest: Option<String>| match dest.as_deref() {
            None | Some("" | "-") => Dest::Stdout,
            Some(path) => Dest::Path(path.into()),
        };
        match kind {
            "image" | "registry" => {
                self.media_types()?;
                self.only("store", true, "the image is in the store, or nowhere")?;
                Ok(Kind::Image)
            }
            // Without a place docker itself gets it, and here the store.
            "docker" if !self.values.contains_key("dest") => Ok(Kind::Image),
            "oci" | "docker" => {
                self.media_types()?;
                let tar = self.flag("tar")?.unwrap_or(true);
                let compression = self.compression()?;
                let force = self.flag("force-compression")?.unwrap_or(false);
                let dest = dest(self.take("dest"));
                if !tar && dest == Dest::Stdout {
                    return Err(OutputError::NoDirectory);
                }
                Ok(Kind::Archive {
                    docker: kind == "docker",
                    tar,
                    compression,
                    force,
                    dest,
                })
            }
            "tar" => {
                self.platform_split()?;
                Ok(Kind::Tar(dest(self.take("dest"))))
            }
            "local" => {
                self.platform_split()?;
                match dest(self.take("dest")) {
                    Dest::Path(dir) => Ok(Kind::Local(dir)),
                    Dest::Stdout => Err(OutputError::NoDirectory),
                }
            }
            "cacheonly" => Ok(Kind::CacheOnly),
            found => Err(OutputError::Type {
                found: found.to_owned(),
                nearest: nearest(found, TYPES),
            }),
        }
    }

    fn compression(&mut self) -> Result<Option<Compression>, OutputError> {
        let level = self.take("compression-level");
        let number = |most: i32| {
            let number = level.as_ref().map(|level| {
                let number = level.parse::<i32>().ok();
                number.filter(|number| (0..=most).contains(number))
            });
            match number {
                Some(None) => Err(OutputError::Value {
                    key: "compression-level",
                    takes: "0 to 9 for gzip, 1 to 19 for zstd",
                    found: level.clone().unwrap_or_default(),
                }),
                Some(number) => Ok(number),
                None => Ok(None),
            }
        };
        match self.take("compression").as_deref() {
            Some("gzip") => {
                let level = number(MOST_GZIP as i32)?;
                Ok(Some(Compression::Gzip(level.map(i32::unsigned_abs))))
            }
            // zstd's own default is 0
            Some("zstd") => Ok(Some(Compression::Zstd(
                number(MOST_ZSTD)?.filter(|level| *level > 0),
            ))),
            _ if level.is_some() => Err(OutputError::Level),
            Some("uncompressed") => Ok(Some(Compression::None)),
            Some(found) => Err(OutputError::Value {
                key: "compression",
                takes: "gzip, zstd or uncompressed",
                found: found.to_owned(),
            }),
            None => Ok(None),
        }
    }

    /// An image here has OCI's media types.
    fn media_types(&mut self) -> Result<(), OutputError> {
        self.only("oci-mediatypes", true, "images have OCI's media types")
    }

    /// There is one platform, and its files are not in a directory of its name.
    fn platform_split(&mut self) -> Result<(), OutputError> {
        self.only("platform-split", false, "there is one platform only")
    }

    fn only(
        &mut self,
        key: &'static str,
        supported: bool,
        reason: &'static str,
    ) -> Result<(), OutputError> {
        match self.flag(key)? {
            Some(found) if found != supported => Err(OutputError::NotSupported {
                key,
                found: found.to_string(),
                reason,
            }),
            _ => Ok(()),
        }
    }

    fn names(&mut self) -> Result<Vec<Reference>, OutputError> {
        if !matches!(self.kind.as_str(), "image" | "registry" | "oci" | "docker") {
            return Ok(Vec::new());
        }
        let names = self.take("name").unwrap_or_default();
        let names = names.split(',').filter(|name| !name.is_empty());
        let names = names.map(|name| {
            let reference = name.parse::<Reference>()?.with_default_tag();
            match reference.digest() {
                Some(_) => Err(OutputError::Digest(name.to_owned())),
                None => Ok(reference),
            }
        });
        names.collect()
    }

    fn annotations(&mut self) -> Result<BTreeMap<String, String>, OutputError> {
        let mut annotations = BTreeMap::new();
        if !matches!(self.kind.as_str(), "image" | "registry" | "oci" | "docker") {
            return Ok(annotations);
        }
        let is_annotation = |key: &&String| key.starts_with("annotation");
        let keys: Vec<String> = self.values.keys().filter(is_annotation).cloned().collect();
        for key in keys {
            let value = self.take(&key).unwrap_or_default();
            let Annotation { name, value } = Annotation::of_attribute(&key, value)?;
            annotations.insert(name, value);
        }
        Ok(annotations)
    }

    /// Nothing must be left.
    fn finish(self, output: Output) -> Result<Output, OutputError> {
        match self.values.into_keys().next() {
            None => Ok(output),
            Some(key) if ATTRIBUTES.contains(&key.as_str()) => Err(OutputError::NotOfType {
                kind: self.kind,
                key,
            }),
            Some(found) => Err(OutputError::Unknown {
                nearest: nearest(&found, ATTRIBUTES),
                found,
            }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Kind {
        let parsed = text.parse::<Output>();
        parsed
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .kind
    }

    fn archive(docker: bool, compression: Option<Compression>, dest: Dest) -> Kind {
        Kind::Archive {
            docker,
            tar: true,
            compression,
            force: false,
            dest,
        }
    }

    #[test]
    fn short_and_long_forms() {
        let path = |path: &str| Dest::Path(path.into());
        assert_eq!(kind("out/dir"), Kind::Local("out/dir".into()));
        // one field with a `=` is a directory to docker
        assert_eq!(kind("dest=a"), Kind::Local("dest=a".into()));
        assert_eq!(kind("-"), Kind::Tar(Dest::Stdout));
        assert_eq!(kind("type=tar"), Kind::Tar(Dest::Stdout));
        assert_eq!(kind("type=tar,\"dest=a,b\""), Kind::Tar(path("a,b")));
        assert_eq!(kind("dest=a,type=local"), Kind::Local("a".into()));
        assert_eq!(kind("type=docker"), Kind::Image);
        assert_eq!(kind("type=image,push=false"), Kind::Image);
        assert_eq!(
            kind("type=docker,dest=-"),
            archive(true, None, Dest::Stdout)
        );
        let gzip = Some(Compression::Gzip(Some(9)));
        let text = "type=oci,dest=a,compression=gzip,compression-level=9";
        assert_eq!(kind(text), archive(false, gzip, path("a")));
        let zstd = Some(Compression::Zstd(None));
        assert_eq!(
            kind("TYPE=oci,compression=zstd"),
            archive(false, zstd, Dest::Stdout)
        );
    }

    #[test]
    fn what_is_pushed_is_in_the_store_too() {
        let push = |text: &str| {
            let output = text.parse::<Output>().unwrap();
            assert_eq!(output.kind, Kind::Image);
            output.push
        };
        assert_eq!(push("type=image"), None);
        assert_eq!(push("type=image,push=true"), Some(Packing::default()));
        assert_eq!(push("type=registry,name=x"), Some(Packing::default()));
        let compression = Compression::Zstd(Some(9));
        assert_eq!(
            push("type=registry,compression=zstd,compression-level=9,force-compression=true"),
            Some(Packing {
                compression,
                force: true
            })
        );
    }

    #[test]
    fn names_and_annotations_are_the_images() {
        let text = "type=oci,\"name=a,b:1\",annotation.x=y,annotation-manifest.Z=z";
        let output = text.parse::<Output>().unwrap();
        let names: Vec<_> = output.names.iter().map(Reference::familiar).collect();
        assert_eq!(names, ["a:latest", "b:1"]);
        let annotations: Vec<_> = output.annotations.into_iter().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(annotations, [pair("Z", "z"), pair("x", "y")]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("", "there are none"),
            ("dest=a,tar=true", "no type="),
            ("type=lcoal,dest=a", "did you mean local?"),
            ("type=zip", "image, oci"),
            ("type=local", "dest=DIR"),
            ("type=local,dest=-", "dest=DIR"),
            ("type=oci,tar=false", "dest=DIR"),
            ("type=oci,dset=a", "did you mean dest?"),
            ("type=oci,foo=a", "no foo="),
            (
                "type=local,dest=a,compression=gzip",
                "type=local takes no compression=",
            ),
            ("type=local,dest=a,name=x", "takes no name="),
            ("type=oci,compression=xz", "gzip, zstd or uncompressed"),
            ("type=oci,compression=gzip,compression-level=10", "0 to 9"),
            ("type=oci,compression-level=1", "takes a compression"),
            ("type=oci,tar=perhaps", "true or false"),
            ("type=oci,oci-mediatypes=false", "not supported"),
            ("type=registry,push=false", "type=image"),
            ("type=oci,push=true", "type=registry"),
            ("type=image,compression=zstd", "takes no compression="),
            ("type=image,name=Upper", "Upper"),
            ("type=oci,annotation-index.a=b", "index"),
            ("type=oci,a", "KEY=VALUE"),
            ("type=oci,\"a", "well-formed"),
        ] {
            let error = text.parse::<Output>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
