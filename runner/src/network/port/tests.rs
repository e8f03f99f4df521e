use std::path::Path;

use serde_json::Value;

use super::*;

fn parse(text: &str) -> Vec<String> {
    let ports: PublishedPorts = text.parse().unwrap();
    ports.0.iter().map(ToString::to_string).collect()
}

#[test]
fn ports_are_read_as_docker_reads_them() {
    assert_eq!(parse("80"), ["80/tcp"]);
    assert_eq!(parse("8080:80"), ["8080:80/tcp"]);
    assert_eq!(parse("0:80/udp"), ["80/udp"]);
    assert_eq!(parse("127.0.0.1::80"), ["127.0.0.1::80/tcp"]);
    assert_eq!(
        parse("8000-8002:80-82"),
        ["8000:80/tcp", "8001:81/tcp", "8002:82/tcp"]
    );
    assert_eq!(parse("8000-8010:80/udp"), ["8000-8010:80/udp"]);
    assert_eq!(parse("80-81"), ["80/tcp", "81/tcp"]);
    assert_eq!(parse("[::1]:80:0080"), ["[::1]:80:80/tcp"]);
}

#[test]
fn what_is_no_port_is_refused() {
    let refused = |text: &str| text.parse::<PublishedPorts>().unwrap_err();
    assert_eq!(refused(""), PortSyntaxError::NoContainerPort);
    assert_eq!(refused("80:"), PortSyntaxError::NoContainerPort);
    for text in ["0", "80:0", "65536", "+80", "80:-1", " 80", "a", "8000-"] {
        assert!(
            matches!(refused(text), PortSyntaxError::Number(..)),
            "{text}"
        );
    }
    assert!(matches!(refused("82-80"), PortSyntaxError::Reversed(_)));
    assert!(matches!(
        refused("1-2:80-82"),
        PortSyntaxError::Lengths { .. }
    ));
    assert!(matches!(refused("80/sctp"), PortSyntaxError::Protocol(_)));
    assert!(matches!(refused("h:80:80"), PortSyntaxError::Address(_)));
    assert!(matches!(refused("1-65535"), PortSyntaxError::TooMany));
}

/// The tables that hold whole specifications, out of docker's own tests.
#[test]
fn public_cases() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/cli/ports_nat.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("no {}: nothing compared", path.display());
        return;
    };
    let mut compared = 0;
    for case in text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
    {
        let table = case["table"].as_str().unwrap();
        let spec = case["spec"].as_str().or(case["in"].as_str());
        let Some(spec) = spec.filter(|_| table.starts_with("TestPar") || table == "TestStringer")
        else {
            continue;
        };
        compared += 1;
        let parsed = spec.parse::<PublishedPorts>();
        if !case["expError"].is_null() {
            assert!(parsed.is_err(), "{spec}");
            continue;
        }
        let port = parsed
            .unwrap_or_else(|error| panic!("{spec}: {error}"))
            .0
            .remove(0);
        if let Some(text) = case["expected"].as_str() {
            assert_eq!(port.to_string(), text.trim_start_matches(':'), "{spec}");
            continue;
        }
        let binding = &case["expected"][0]["Binding"];
        assert_eq!(port.ip.unwrap().to_string(), binding["HostIP"], "{spec}");
        let host = port.host.map(|(first, _)| first.to_string());
        assert_eq!(host.unwrap_or_default(), binding["HostPort"], "{spec}");
        assert_eq!(
            format!("{}/{}", port.container, port.protocol),
            case["expected"][0]["Port"],
            "{spec}"
        );
    }
    assert!(compared > 10, "only {compared} cases");
}
