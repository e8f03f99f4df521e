//! The client against Debian's registry.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::servers::registry::Registry;

#[test]
fn a_registry_listens() {
    let registry = Registry::start();
    let output = std::process::Command::new("curl")
        .args(["-s", "-i", &format!("http://{}/v2/", registry.host())])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
}
