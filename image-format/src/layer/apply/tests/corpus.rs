//! The public cases in `shared/corpora/layers`.

use serde_json::Value;

use super::rootdir::RootDir;
use super::*;

/// Advisory cases that are answered otherwise, and how.
const OTHERWISE: [(u64, &str); 1] = [
    // A symbolic link with an empty name: to replace the root is refused, not passed over.
    (13, "only a directory can be the root"),
];

#[test]
fn agrees_with_every_public_case() {
    let dir = std::env::var("MKIMG_CORPORA").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora").to_owned()
    });
    let Ok(text) = std::fs::read_to_string(format!("{dir}/layers/scenarios.jsonl")) else {
        println!("no corpora at {dir}: the public cases were not run");
        return;
    };
    // Where some cases try to get to from within.
    let canary = Path::new("/tmp/mkimg-canary");
    assert!(!canary.exists(), "remove {} first", canary.display());
    let (mut cases, mut checks) = (0, 0);
    for line in text.lines() {
        // Python's spelling of a byte that is not UTF-8; the tar holds the name itself.
        let line = line.replace(r"\udc", r"\u00");
        let case: Value = serde_json::from_str(&line).unwrap();
        for xattrs in [XattrNamespace::Trusted, XattrNamespace::User] {
            checks += run(&case, Path::new(&dir), xattrs);
        }
        cases += 1;
    }
    assert_eq!((cases, checks), (63, 560));
    assert!(!canary.exists(), "something outside was touched");
}

/// Runs a case through all forms of unpacking, and gives the number of checks.
fn run(case: &Value, corpora: &Path, xattrs: XattrNamespace) -> usize {
    let name = format!("{} {}", case["id"], case["name"]);
    let tars = case["tars"].as_array().unwrap().iter();
    let tars =
        tars.map(|tar| std::fs::read(corpora.join("layers").join(tar.as_str().unwrap())).unwrap());
    let stack = Stack::new(tars.collect(), xattrs);
    let otherwise = OTHERWISE.iter().find(|(id, _)| case["id"] == *id);
    let expected = case["expect"]["unpack"].as_str().unwrap();
    let stack = match (stack, expected, otherwise) {
        (Err(error), _, Some((_, words))) => {
            assert!(error.to_string().contains(words), "{name}: {error}");
            assert_ne!(case["level"], "must", "{name}");
            return 0;
        }
        (Err(_), "error" | "either", None) => return 0,
        (Ok(stack), "ok" | "either", None) => stack,
        (outcome, _, _) => panic!("{name}: {:?}", outcome.err()),
    };
    let seen = stack.agreed();
    let checks = case["expect"]["checks"].as_array().unwrap();
    for form in [stack.in_place(), stack.overlay()] {
        for one in checks {
            check(one, &form, &seen, &name);
        }
    }
    2 * checks.len()
}

fn check(check: &Value, form: &Path, seen: &BTreeMap<PathBuf, Seen>, name: &str) {
    let root = RootDir::open(form).unwrap();
    let text = |key: &str| check[key].as_str().unwrap();
    let path = |key: &str| Path::new(text(key).trim_start_matches('/')).to_owned();
    let inode = |key: &str, follow: bool| {
        let path = path(key);
        let stat = if follow {
            root.resolve(&path)
        } else {
            root.lookup(&path)
        };
        let stat = stat.unwrap().unwrap();
        (stat.st_dev, stat.st_ino)
    };
    let number = |key: &str| u32::try_from(check[key].as_u64().unwrap()).unwrap();
    let kind = |key: &str| &seen[&path(key)].kind;
    match text("op") {
        // What is not seen is not there; and what must not be touched is looked at elsewhere.
        "canary" | "see_source" => {}
        "content" | "content_if_ok" => {
            let content = root.read(&path("path"), 1 << 20).unwrap().unwrap();
            assert_eq!(content, text("value").as_bytes(), "{name}: {check}");
        }
        "absent" => assert!(!seen.contains_key(&path("path")), "{name}: {check}"),
        "exists_l" => assert!(seen.contains_key(&path("path")), "{name}: {check}"),
        "samefile" => assert_eq!(inode("a", true), inode("b", true), "{name}: {check}"),
        "notsamefile" => assert_ne!(inode("a", true), inode("b", true), "{name}: {check}"),
        "samefile_l" => assert_eq!(inode("a", false), inode("b", false), "{name}: {check}"),
        "samesymlink" => assert_eq!(kind("a"), kind("b"), "{name}: {check}"),
        "isdir" => assert_eq!(*kind("path"), Kind::Dir, "{name}: {check}"),
        "mode" => assert_eq!(
            seen[&path("path")].meta.mode,
            number("mode"),
            "{name}: {check}"
        ),
        "mtime" => assert_eq!(
            seen[&path("path")].meta.mtime,
            Timestamp::from_secs(check["mtime"].as_i64().unwrap()),
            "{name}: {check}"
        ),
        "symlink" => {
            let target = text("target").as_bytes().to_vec();
            assert_eq!(*kind("path"), Kind::Symlink(target), "{name}: {check}");
        }
        "dev" => {
            let wanted = match text("kind") {
                "block" => Kind::Block(number("major"), number("minor")),
                "char" => Kind::Char(number("major"), number("minor")),
                "fifo" => Kind::Fifo,
                other => panic!("{name}: a device of kind {other}"),
            };
            assert_eq!(*kind("path"), wanted, "{name}: {check}");
        }
        "tree" => {
            let wanted = check["paths"].as_array().unwrap().iter();
            let mut wanted: Vec<_> = wanted
                .map(|path| path.as_str().unwrap().to_owned())
                .collect();
            let mut got = paths(seen);
            wanted.sort();
            got.sort();
            assert_eq!(got, wanted, "{name}");
        }
        other => panic!("{name}: no check {other} is known"),
    }
}
