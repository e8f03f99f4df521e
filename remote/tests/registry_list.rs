//! Lists of tags and referrers, and registries that make no good ones.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use image_format::digest::Digest;
use image_format::media_type::{OCI_INDEX, OCI_MANIFEST};
use remote::registry::{RegistryError, referrers_tag};
use support::faulty::{Fault, Faulty, answer};
use support::registry::{Client, MANIFEST};

#[test]
fn tags_come_in_pages_which_have_an_end() {
    let page = |next: &'static str, tags: &str| {
        let body = format!(r#"{{"name":"app","tags":{tags}}}"#);
        answer(200, &[&format!("Link: <{next}>; rel=\"next\"")], &body)
    };
    let server = Faulty::start(move |asked| match asked.path.split_once('?').unwrap().1 {
        "n=1000" => page("/v2/app/tags/list?last=b", r#"["a","b"]"#),
        "last=b" => page("?last=c", r#"["c"]"#),
        _ => answer(200, &[], r#"{"tags":null}"#),
    });
    let client = Client::new(&server.host());
    assert_eq!(
        client.registries.wait(client.pull().tags()).unwrap(),
        ["a", "b", "c"]
    );
    for (name, next) in [("itself", "?n=1000"), ("another", "http://example.org/v2/")] {
        let server = Faulty::start(move |_| page(next, r#"["a"]"#));
        let client = Client::new(&server.host());
        let error = client.registries.wait(client.pull().tags()).unwrap_err();
        assert!(
            matches!(error, RegistryError::Protocol { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn referrers_are_listed_by_the_registry_or_by_a_tag() {
    let subject = Digest::of(MANIFEST);
    let one = |kind: &str| {
        format!(
            r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":1,"artifactType":"{kind}"}}"#,
            Digest::of(kind.as_bytes())
        )
    };
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{},{}]}}"#,
        one("a/x"),
        one("b/y")
    );
    let copy = index.clone();
    let api = Faulty::start(move |asked| match asked.path.contains("/referrers/") {
        true => answer(200, &[&format!("Content-Type: {OCI_INDEX}")], &copy),
        false => Fault::None,
    });
    let tagged = Faulty::start(|_| Fault::None);
    tagged.put_manifest(&referrers_tag(&subject), OCI_INDEX, index.as_bytes());
    for (server, from_tag) in [(&api, false), (&tagged, true)] {
        let client = Client::new(&server.host());
        let all = client
            .registries
            .wait(client.pull().referrers(&subject, None))
            .unwrap();
        assert_eq!((all.descriptors.len(), all.from_tag), (2, from_tag));
        let some = client
            .registries
            .wait(client.pull().referrers(&subject, Some("b/y")))
            .unwrap();
        assert_eq!(some.descriptors.len(), 1);
        assert_eq!(some.descriptors[0].digest, Digest::of(b"b/y"));
    }
    assert!(
        api.lines()[1].ends_with("?artifactType=b%2Fy"),
        "{:?}",
        api.lines()
    );
}
