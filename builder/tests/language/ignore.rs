//! Ignore patterns against docker's cases, and a walk against single questions.

use builder::ignore::Ignore;
use proptest::prelude::*;

use crate::corpora::records;

#[test]
fn patterns_of_docker() {
    let Some(cases) = records("ignore/patternmatcher.jsonl") else {
        return;
    };
    let (mut decided, mut refused) = (0, 0);
    for case in &cases {
        let patterns: Vec<&str> = case["patterns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pattern| pattern.as_str().unwrap())
            .collect();
        match Ignore::parse(&patterns.join("\n")) {
            Ok(ignore) => {
                let path = case["path"].as_str().unwrap();
                assert_eq!(case["error"], false, "{case}");
                assert_eq!(
                    ignore.matches(path.as_bytes()).excluded,
                    case["expect"],
                    "{case}"
                );
                decided += 1;
            }
            Err(error) => {
                assert_eq!(case["error"], true, "{case}: {error}");
                refused += 1;
            }
        }
    }
    assert_eq!((decided, refused), (120, 18));
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "*", "**", "a*", "?", "[ab]", "[^a]", "**b"]);
    (any::<bool>(), prop::collection::vec(part, 1..4)).prop_map(|(exception, parts)| {
        format!("{}{}", if exception { "!" } else { "" }, parts.join("/"))
    })
}

proptest! {
    /// A walk that asks from directory to directory learns what a single question learns, and leaves out no
    /// directory that holds something let in.
    #[test]
    fn a_walk_is_as_good_as_single_questions(
        patterns in prop::collection::vec(pattern(), 0..6),
        names in prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "c"]), 1..5),
    ) {
        let ignore = Ignore::parse(&patterns.join("\n")).unwrap();
        let mut matched = ignore.root();
        let mut path = String::new();
        let mut left_out = None;
        for name in names {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(name);
            let (decision, next) = ignore.matches_in(&matched, path.as_bytes());
            prop_assert_eq!(decision, ignore.matches(path.as_bytes()));
            prop_assert!(decision.excluded || left_out.is_none(), "{} in {:?}", path, left_out);
            if decision.excluded && left_out.is_none() && !ignore.may_contain_included(path.as_bytes()) {
                left_out = Some(path.clone());
            }
            matched = next;
        }
    }

    /// Whatever the text, it is read or refused.
    #[test]
    fn any_text(text in "(?s)[!#*?/\\\\\\[\\]^a-c. \n-]{0,40}", path in "[a-c/.]{0,12}") {
        if let Ok(ignore) = Ignore::parse(&text) {
            let decision = ignore.matches(path.as_bytes());
            prop_assert!(decision.line.is_none_or(|line| line <= text.lines().count()));
        }
    }
}

/// A walk of many files is to cost little beside reading them.
#[test]
fn a_walk_of_many_files() {
    let text = "**/node_modules\n**/*.log\n.git\ntarget/\n*.tmp\n!keep.tmp\n**/dist/**\ndocs/*.md\n!docs/a.md\nsrc/**/x?.[ch]\n";
    let ignore = Ignore::parse(text).unwrap();
    let begin = std::time::Instant::now();
    let mut excluded = 0;
    for directory in 0..200 {
        let directory = format!("src/module{directory}");
        let (_, in_src) = ignore.matches_in(&ignore.root(), b"src");
        let (_, inside) = ignore.matches_in(&in_src, directory.as_bytes());
        for file in 0..100 {
            let name = if file % 10 == 0 { "log" } else { "rs" };
            let path = format!("{directory}/some_file_{file}.{name}");
            let (decision, _) = ignore.matches_in(&inside, path.as_bytes());
            excluded += usize::from(decision.excluded);
        }
    }
    println!("20,000 files: {:?}", begin.elapsed());
    assert_eq!(excluded, 2000);
    assert!(begin.elapsed() < std::time::Duration::from_secs(10));
}
