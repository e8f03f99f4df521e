//! `--annotation` and `--label`: what is said of an image.

use std::str::FromStr;

use image_format::descriptor::Platform;

/// A label of an image's config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A label has no name.
#[derive(Debug, thiserror::Error)]
#[error("it has no name: NAME=VALUE")]
pub struct NoName;

impl FromStr for Label {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() {
            return Err(NoName);
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// An annotation of an image's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Why an annotation is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// There is no `=`, or no name before it.
    #[error("it takes NAME=VALUE, or manifest:NAME=VALUE")]
    Form,
    /// It would be of something that is not written.
    #[error(
        "{0} is not supported: an image of one platform has a manifest, and no index of its own"
    )]
    Level(String),
    /// It would be of something that there is not.
    #[error("nothing of an image is called {0}: it is manifest:, or nothing")]
    Unknown(String),
    /// It would be of another platform's manifest.
    #[error("the image is for {built}, and has no manifest for {asked}")]
    Platform {
        /// What it is for.
        asked: String,
        /// What is built.
        built: String,
    },
}

impl FromStr for Annotation {
    type Err = AnnotationError;

    fn from_str(text: &str) -> Result<Self, AnnotationError> {
        let (key, value) = text.split_once('=').ok_or(AnnotationError::Form)?;
        let name = match key.split_once(':') {
            Some((levels, name)) => {
                levels.split(',').try_for_each(check_level)?;
                name
            }
            None => key,
        };
        Self::new(name, value.to_owned())
    }
}

impl Annotation {
    /// Reads `annotation.NAME` or `annotation-manifest.NAME` of an output.
    pub fn of_attribute(key: &str, value: String) -> Result<Self, AnnotationError> {
        let (level, name) = key.split_once('.').ok_or(AnnotationError::Form)?;
        match level.strip_prefix("annotation") {
            Some("") => {}
            Some(level) => match level.strip_prefix('-') {
                Some(level) => check_level(level)?,
                None => check_level(level)?,
            },
            None => return Err(AnnotationError::Form),
        }
        Self::new(name, value)
    }

    fn new(name: &str, value: String) -> Result<Self, AnnotationError> {
        if name.is_empty() {
            return Err(AnnotationError::Form);
        }
        let name = name.to_owned();
        Ok(Self { name, value })
    }
}

/// `manifest`, perhaps with a platform in brackets.
fn check_level(text: &str) -> Result<(), AnnotationError> {
    let (level, platform) = match text.split_once('[') {
        Some((level, platform)) => (level, Some(platform)),
        None => (text, None),
    };
    match level {
        "manifest" => {}
        "index" | "manifest-descriptor" | "index-descriptor" => {
            return Err(AnnotationError::Level(level.to_owned()));
        }
        _ => return Err(AnnotationError::Unknown(text.to_owned())),
    }
    let Some(platform) = platform else {
        return Ok(());
    };
    let asked = platform.strip_suffix(']').ok_or(AnnotationError::Form)?;
    let built = Platform::host().to_string();
    match asked == built {
        true => Ok(()),
        false => Err(AnnotationError::Platform {
            asked: asked.to_owned(),
            built,
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_is_the_manifests() {
        let read = |text: &str| {
            text.parse::<Annotation>()
                .map(|annotation| (annotation.name, annotation.value))
        };
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(read("a=b=c"), pair("a", "b=c"));
        assert_eq!(read("manifest:a="), pair("a", ""));
        let host = Platform::host().to_string();
        assert_eq!(
            read(&format!("manifest[{host}]:a.b/c=d")),
            pair("a.b/c", "d")
        );
        for wrong in [
            "a",
            "=b",
            "manifest:=b",
            "index:a=b",
            "manifest,index:a=b",
            "x:a=b",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("manifest[windows/amd64]:a=b").is_err());
    }
}
