use super::super::ast::{Command, MountFlag};
use super::super::{ParseErrorKind, parse};
use super::*;

fn flags(text: &str) -> Result<Vec<MountFlag>, ParseError> {
    let parsed = parse(&format!("FROM x\nRUN {text} true\n"))?;
    let Command::Run(run) = &parsed.stages[0].instructions[0].command else {
        panic!("a RUN");
    };
    Ok(run.mounts.clone())
}

/// A mount in a stage with the variables `V=v`, `KIND=tmpfs` and `EMPTY=`.
fn read(options: &str) -> Result<Mount, ParseError> {
    let lookup = |name: &str| match name {
        "V" => Some("v".to_owned()),
        "KIND" => Some("tmpfs".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let flags = flags(&format!("--mount='{options}'"))?;
    flags[0]
        .expand('\\', &lookup, &mut Asked::default())?
        .read()
}

fn error(options: &str) -> (MountError, Option<String>) {
    match read(options) {
        Err(ParseError {
            kind: ParseErrorKind::Mount(kind),
            hint,
            ..
        }) => (kind, hint),
        other => panic!("{options}: {other:?}"),
    }
}

fn target(options: &str) -> Option<String> {
    read(options).unwrap().target("/w/x").unwrap()
}

#[test]
fn a_mount_is_a_read_only_bind_unless_it_says_so() {
    let bind = |options: &str| match read(options).unwrap().kind {
        MountKind::Bind(from) => (
            from.source.text,
            from.read_only,
            from.from.map(|word| word.text),
        ),
        other => panic!("{options}: {other:?}"),
    };
    let none = || (String::new(), true, None);
    assert_eq!(bind("target=/a"), none());
    assert_eq!(bind("TYPE=Bind,target=/a"), none());
    assert_eq!(bind("target=/a,from="), none());
    for writable in [
        "rw",
        "readwrite",
        "rw=true",
        "ro=false",
        "readonly=0",
        "rw=T",
    ] {
        assert!(!bind(&format!("target=/a,{writable}")).1, "{writable}");
    }
    for fixed in ["ro", "readonly=1", "rw=F", "rw,ro"] {
        assert!(bind(&format!("target=/a,{fixed}")).1, "{fixed}");
    }
    let all = bind("from=stage,src=old,source=new,dst=/a");
    assert_eq!(all, ("new".to_owned(), true, Some("stage".to_owned())));
}

#[test]
fn targets_are_below_the_working_directory() {
    for (options, expected) in [
        ("target=/a/../b//c/", "/b/c"),
        ("target=a", "/w/x/a"),
        ("dst=../a", "/w/a"),
        ("destination=../../../../a", "/a"),
        ("type=cache", "/w/x"),
        ("target=.", "/w/x"),
        ("target=$V", "/w/x/v"),
        ("type=secret,id=a/b/c", "/run/secrets/c"),
        ("type=secret,target=t", "/w/x/t"),
        ("type=secret,id=i,env=E,target=/t", "/t"),
        ("type=ssh,target=sock", "/w/x/sock"),
    ] {
        assert_eq!(target(options).as_deref(), Some(expected), "{options}");
    }
    assert_eq!(target("type=secret,id=i,env=E"), None);
    assert_eq!(target("type=ssh"), None);
    for root in [
        "target=/",
        "target=//",
        "target=/a/..",
        "type=cache,target=/.",
    ] {
        assert_eq!(error(root).0, MountError::Root, "{root}");
    }
    for root in ["target=..", "type=tmpfs", "target=$EMPTY"] {
        assert!(read(root).unwrap().target("/").is_err(), "{root}");
    }
}

#[test]
fn every_type_has_its_options() {
    let kind = |options| read(options).unwrap().kind;
    let cache = |options| match kind(options) {
        MountKind::Cache {
            id,
            sharing,
            from,
            access,
        } => (id, sharing, from.read_only, access.mode),
        other => panic!("{options}: {other:?}"),
    };
    let shared = Sharing::Shared;
    assert_eq!(
        cache("type=cache,target=/a//b/"),
        ("/a/b".into(), shared, false, None)
    );
    assert_eq!(cache("type=cache,target=a/../b").0, "b");
    assert_eq!(cache("type=cache").0, ".");
    let full = "type=cache,id=../../x,sharing=LOCKED,mode=0770,ro,target=c";
    assert_eq!(
        cache(full),
        ("../../x".into(), Sharing::Locked, true, Some(0o770))
    );
    let tmpfs = |size, read_only| MountKind::Tmpfs { size, read_only };
    assert_eq!(
        kind("type=tmpfs,size=1.5k,target=/t"),
        tmpfs(Some(1536), false)
    );
    assert_eq!(kind("type=$KIND,size=0,ro,target=/t"), tmpfs(None, true));
    let secret = |options| match kind(options) {
        MountKind::Secret {
            id, env, required, ..
        } => (id, env, required),
        other => panic!("{options}: {other:?}"),
    };
    assert_eq!(secret("type=secret,id=a"), ("a".into(), None, false));
    assert!(secret("type=secret,src=a,required").2);
    assert_eq!(secret("type=secret,target=/x/a").0, "a");
    assert_eq!(secret("type=secret,id=a,env=B").1.as_deref(), Some("B"));
    let ssh = |id: &str, required| MountKind::Ssh {
        id: id.to_owned(),
        required,
        access: Access::default(),
    };
    assert_eq!(kind("type=ssh"), ssh("default", false));
    assert_eq!(kind("type=ssh,id=x,required=true"), ssh("x", true));
}

#[test]
fn mistakes_are_told_with_the_place_and_what_was_meant() {
    let near = |options: &str| error(options).1.unwrap_or_default();
    assert!(near("typ=tmpfs").contains("`type`"));
    assert!(near("type=cahce,target=/a").contains("`cache`"));
    assert!(near("type=cache,sharing=lock,target=/a").is_empty());
    assert!(near("type=cache,sharing=lockd,target=/a").contains("`locked`"));
    assert!(near("required,type=secret,id=a").contains("type=secret"));
    for value in [
        "ro=maybe",
        "type=bogus",
        "type=$EMPTY",
        "type=tmpfs,size=big",
        "type=cache,mode=8",
        "type=cache,mode=+7",
        "type=cache,uid=-1",
        "type=cache,gid=4294967296",
        "type=secret,id=a,env=",
        "type=secret,id=a,env=A=B",
    ] {
        assert!(
            matches!(error(value).0, MountError::BadValue { .. }),
            "{value}"
        );
    }
    for other in [
        "mode=1",
        "type=tmpfs,uid=1",
        "sharing=shared",
        "type=secret,id=a,sharing=shared",
        "required",
        "size=1m",
        "type=cache,size=1m",
        "type=ssh,source=a",
        "type=secret,id=a,from=b",
    ] {
        assert!(
            matches!(error(other).0, MountError::NotOfType { .. }),
            "{other}"
        );
    }
    for bare in ["target", "type=cache,id", "from"] {
        assert!(
            matches!(error(bare).0, MountError::NoValue { .. }),
            "{bare}"
        );
    }
    for unknown in [
        "a=b",
        "a",
        "type=cache,,target=/a",
        "target=/a,",
        "target=/a, ro",
    ] {
        assert!(
            matches!(error(unknown).0, MountError::UnknownOption { .. }),
            "{unknown}"
        );
    }
    assert_eq!(error("type=secret").0, MountError::NamelessSecret);
    assert_eq!(error("type=secret,id=a,src=b").0, MountError::TwoNames);
    for quotes in ["", "a\"b", "\"a", "\"a\"b"] {
        assert!(
            matches!(error(quotes).0, MountError::Quotes { .. }),
            "{quotes}"
        );
    }
    let text = "FROM x\nRUN --mount=type=cache,target=/a,sharing=x true";
    let parsed = parse(text).unwrap();
    let Command::Run(run) = &parsed.stages[0].instructions[0].command else {
        panic!("a RUN");
    };
    let span = run.mounts[0].read().unwrap_err().span;
    assert_eq!(&text[span.start..span.end], "x");
}

#[test]
fn quotes_hold_commas_together() {
    assert_eq!(target("\"target=/a,b\",ro").as_deref(), Some("/a,b"));
    assert_eq!(target("\"target=/a\"\"b\"\"c\"").as_deref(), Some("/abc"));
    let two = flags("--mount=target=/a --mount=type=cache,target=/b").unwrap();
    assert_eq!(two.len(), 2);
}

#[test]
fn from_takes_no_variable() {
    let kind = flags("--mount=from=$V,target=/a").unwrap_err().kind;
    assert_eq!(kind, MountError::VariableInFrom.into());
    // A sign at the end is one, to docker.
    assert!(flags("--mount=from=a$,target=/a").is_ok());
}

#[test]
fn what_says_nothing_is_known() {
    let idle = |options| {
        let idle = read(options).unwrap().idle;
        idle.into_iter().map(|word| word.text).collect::<Vec<_>>()
    };
    assert_eq!(idle("target=/a,id=x,env=Y"), ["id", "env"]);
    assert_eq!(
        idle("type=tmpfs,target=/a,from=x,source=y"),
        ["from", "source"]
    );
    assert_eq!(idle("type=secret,id=x,ro"), ["ro"]);
    assert!(idle("type=cache,target=/a,from=x,source=y,ro,id=z").is_empty());
}

#[test]
fn only_what_may_be_a_bind_reads_the_context() {
    for (options, expected) in [
        ("target=/a", true),
        ("type=bind,target=/a", true),
        ("type=$V,target=/a", true),
        ("from=x,target=/a", false),
        ("type=cache,target=/a", false),
    ] {
        let flags = flags(&format!("--mount={options}")).unwrap();
        assert_eq!(flags[0].may_read_context(), expected, "{options}");
    }
}
