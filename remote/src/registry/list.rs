//! Lists, which come in pages: tags, and what refers to a manifest.
//!
//! Source: OCI distribution specification 1.1, "Listing Tags" and "Listing Referrers"; RFC 8288 (`Link`).

use image_format::descriptor::Descriptor;
use image_format::digest::Digest;
use image_format::manifest::Index;
use image_format::media_type::is_index;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, LINK};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::error::RegistryError;
use super::manifest::LONGEST_MANIFEST;
use super::place::{Ask, Place, may_pass};
use super::repository::{Referrers, TagOrDigest};

/// As many tags a page are asked for.
const PAGE: &str = "1000";
const MOST_PAGES: usize = 1000;
/// As many items of a list are taken.
const MOST_ITEMS: usize = 200_000;

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Place {
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let mut url = self.url("tags/list").await?;
        url.query_pairs_mut().append_pair("n", PAGE);
        let what = format!("list of the tags of {}", self.endpoint.repository);
        let ask = Ask::new(Method::GET, url, &what);
        let pages = self.pages(ask, |bytes| {
            let page: Tags = serde_json::from_slice(bytes).ok()?;
            Some(page.tags.unwrap_or_default())
        });
        match pages.await? {
            Listed::Items(tags) => Ok(tags),
            Listed::Refused(error) => Err(error),
        }
    }

    /// What refers to a manifest; from the tag that stands in for it where there is no such list.
    pub async fn referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Referrers, RegistryError> {
        let mut url = self.url(&format!("referrers/{digest}")).await?;
        if let Some(artifact_type) = artifact_type {
            url.query_pairs_mut()
                .append_pair("artifactType", artifact_type);
        }
        let what = format!(
            "list of what refers to {}@{digest}",
            self.endpoint.repository
        );
        let kind = HeaderValue::from_static(image_format::media_type::OCI_INDEX);
        let ask = Ask::new(Method::GET, url, &what).with(ACCEPT, kind);
        let pages = self.pages(ask, |bytes| {
            let page: Index = serde_json::from_slice(bytes).ok()?;
            Some(page.manifests)
        });
        let (mut descriptors, from_tag) = match pages.await? {
            Listed::Items(descriptors) => (descriptors, false),
            Listed::Refused(error) if lacks_list(&error) => {
                (self.tagged_referrers(digest).await?, true)
            }
            Listed::Refused(error) => return Err(error),
        };
        // A registry need not do it itself.
        if let Some(wanted) = artifact_type {
            descriptors.retain(|one| is_of_type(one, wanted));
        }
        Ok(Referrers {
            descriptors,
            from_tag,
        })
    }

    async fn tagged_referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        let tag = TagOrDigest::Tag(referrers_tag(digest));
        let manifest = match self.manifest(&tag).await {
            Ok(manifest) => manifest,
            Err(RegistryError::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if !is_index(&manifest.descriptor.media_type) {
            return Ok(Vec::new());
        }
        let index: Result<Index, _> = serde_json::from_slice(&manifest.bytes);
        let index = index.map_err(|_| self.protocol("list of what refers to it", "it is no index"));
        Ok(index?.manifests)
    }

    /// The items of all pages.
    async fn pages<T>(
        &self,
        mut ask: Ask,
        items: impl Fn(&[u8]) -> Option<Vec<T>>,
    ) -> Result<Listed<T>, RegistryError> {
        let mut all = Vec::new();
        let mut attempts = self.attempts();
        for _ in 0..MOST_PAGES {
            let response = self.send_counted(&ask, &mut attempts).await?;
            if response.status() != StatusCode::OK {
                return Ok(Listed::Refused(self.refusal(response, &ask.what).await?));
            }
            let next = next_page(response.headers(), &ask.url);
            let bytes = match self.body(response, &ask.what, LONGEST_MANIFEST).await {
                Ok(bytes) => bytes,
                Err(error) if may_pass(&error) => {
                    attempts.wait(&self.cancel, error.into()).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            attempts.progressed();
            let Some(page) = items(&bytes) else {
                return Err(self.protocol(&ask.what, "what it sends is no such list"));
            };
            all.extend(page);
            let Some(next) = next.filter(|_| all.len() <= MOST_ITEMS) else {
                break;
            };
            if next.origin() != ask.url.origin() {
                return Err(self.protocol(&ask.what, "the list goes on at another host"));
            }
            if next == ask.url {
                return Err(self.protocol(&ask.what, "the list has no end"));
            }
            ask.url = next;
        }
        match all.len() <= MOST_ITEMS {
            true => Ok(Listed::Items(all)),
            false => Err(self.protocol(&ask.what, "the list has no end")),
        }
    }
}

enum Listed<T> {
    Items(Vec<T>),
    Refused(RegistryError),
}

/// The tag of an index that lists what refers to a manifest, where the registry does not.
#[must_use]
pub fn referrers_tag(digest: &Digest) -> String {
    digest.to_string().replace(':', "-")
}

fn lacks_list(error: &RegistryError) -> bool {
    match error {
        RegistryError::NotFound { .. } => true,
        RegistryError::Refused { status, .. } => matches!(
            *status,
            StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_ACCEPTABLE
                | StatusCode::NOT_IMPLEMENTED
        ),
        _ => false,
    }
}

fn is_of_type(descriptor: &Descriptor, wanted: &str) -> bool {
    let found = descriptor.extra.get("artifactType");
    found.and_then(|found| found.as_str()) == Some(wanted)
}

/// The address of the next page.
fn next_page(headers: &HeaderMap, from: &Url) -> Option<Url> {
    let links = headers.get_all(LINK).into_iter();
    let links = links.filter_map(|link| link.to_str().ok());
    let next = links.filter_map(next_link).next()?;
    let mut url = from.join(next).ok()?;
    if url.host_str() == from.host_str()
        && url.port_or_known_default() != from.port_or_known_default()
    {
        return Some(url);
    }
    // Behind a proxy that ends TLS, many a registry does not know that it has it.
    if url.host_str() == from.host_str() && url.scheme() == "http" && from.scheme() == "https" {
        let _ = url.set_scheme("https");
    }
    Some(url)
}

fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        // A comma between quotes is not in use here.
        let (parameters, others) = after.split_once(',').unwrap_or((after, ""));
        let is_next = parameters.split(';').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value
                    .split_ascii_whitespace()
                    .any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_next_page() {
        for (header, expected) in [
            (
                "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
                Some("/v2/a/tags/list?last=b&n=2"),
            ),
            ("<x>; rel=prev, <y>; title=\"z\"; REL=Next", Some("y")),
            ("<x>; rel=\"last next\"", Some("x")),
            ("<x>; rel=\"nextish\"", None),
            ("<x>", None),
            ("x; rel=next", None),
            ("<x; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), expected, "{header}");
        }
    }

    #[test]
    fn the_next_page_is_where_this_one_was() {
        let from = Url::parse("https://h:5/v2/a/tags/list?n=2").unwrap();
        let next = |link: &str| {
            let headers = HeaderMap::from_iter([(LINK, link.parse().unwrap())]);
            next_page(&headers, &from).map(String::from)
        };
        let expected = Some("https://h:5/v2/a/tags/list?last=x".to_owned());
        assert_eq!(next("</v2/a/tags/list?last=x>; rel=next"), expected);
        assert_eq!(
            next("<http://h:5/v2/a/tags/list?last=x>; rel=next"),
            expected
        );
    }

    #[test]
    fn the_tag_of_a_digest_is_what_the_specification_says() {
        let digest = Digest::of(b"");
        assert_eq!(referrers_tag(&digest), format!("sha256-{}", digest.hex()));
    }
}
