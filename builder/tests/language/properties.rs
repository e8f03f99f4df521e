//! What holds for any text: it is parsed or refused, in time, and every place that is named is in it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use builder::check::CheckRequest;
use builder::dockerfile::ast::{Add, Command, CommandLine, Heredoc, Instruction, Word};
use builder::dockerfile::expand::{Asked, ExpandError, MAX_EXPANDED_BYTES};
use builder::dockerfile::{
    Dockerfile, MAX_FILE_BYTES, MAX_LINE_BYTES, MAX_STAGES, ParseError, ParseErrorKind, Span, parse,
};
use builder::plan::{BuildPlan, Globals};
use builder::request::DockerfileText;
use image_format::descriptor::Platform;
use proptest::prelude::*;

fn spans(dockerfile: &Dockerfile) -> Vec<Span> {
    let mut spans: Vec<Span> = dockerfile.warnings.iter().map(|one| one.span).collect();
    for stage in &dockerfile.stages {
        spans.extend([stage.span, stage.keyword, stage.base.span]);
        spans.extend(stage.name.iter().map(|name| name.span));
    }
    let inside = dockerfile
        .stages
        .iter()
        .flat_map(|stage| &stage.instructions);
    for instruction in dockerfile.global_args.iter().chain(inside) {
        spans.extend([instruction.span, instruction.keyword]);
        spans.extend(words(instruction).map(|word| word.span));
        spans.extend(heredocs(instruction).flat_map(|one| [one.span, one.lines]));
    }
    spans
}

fn words(instruction: &Instruction) -> impl Iterator<Item = &Word> {
    let words: Vec<&Word> = match &instruction.command {
        Command::Arg(declarations) => declarations
            .iter()
            .flat_map(|one| std::iter::once(&one.name).chain(&one.default))
            .collect(),
        Command::Cmd(line) | Command::Entrypoint(line) => of_line(line),
        Command::Run(run) => of_line(&run.command),
        Command::Copy(copy) | Command::Add(Add { copy, .. }) => {
            let flags = copy.from.iter().chain(&copy.chown).chain(&copy.chmod);
            flags
                .chain(copy.paths())
                .chain([&copy.destination])
                .collect()
        }
        Command::Env(pairs) | Command::Label(pairs) => pairs
            .iter()
            .flat_map(|pair| [&pair.name, &pair.value])
            .collect(),
        Command::Expose(words) | Command::Shell(words) | Command::Volume(words) => {
            words.iter().collect()
        }
        Command::Healthcheck(check) => {
            let flags = [&check.interval, &check.timeout, &check.retries];
            let flags = flags.into_iter().flatten();
            flags.chain(check.test.iter().flat_map(of_line)).collect()
        }
        Command::Onbuild(trigger) => vec![&trigger.keyword],
        Command::Maintainer(word)
        | Command::StopSignal(word)
        | Command::User(word)
        | Command::Workdir(word) => vec![word],
    };
    words.into_iter()
}

fn heredocs(instruction: &Instruction) -> impl Iterator<Item = &Heredoc> {
    let all: Vec<&Heredoc> = match &instruction.command {
        Command::Run(run) => run.heredocs.iter().collect(),
        Command::Copy(copy) | Command::Add(Add { copy, .. }) => copy.heredocs().collect(),
        _ => Vec::new(),
    };
    all.into_iter()
}

fn of_line(line: &CommandLine) -> Vec<&Word> {
    match line {
        CommandLine::Shell(word) => vec![word],
        CommandLine::Exec(words) => words.iter().collect(),
    }
}

/// A soup of what means something.
fn soup() -> impl Strategy<Value = String> {
    let parts = vec![
        "FROM scratch\n",
        "RUN ",
        "COPY ",
        "CMD ",
        "ENV ",
        "ARG ",
        "LABEL ",
        "EXPOSE ",
        "USER ",
        "WORKDIR ",
        "ENTRYPOINT ",
        "ADD ",
        "HEALTHCHECK ",
        "HEALTHCHECK --interval=",
        "MAINTAINER ",
        "ONBUILD ",
        "SHELL ",
        "STOPSIGNAL ",
        "VOLUME ",
        "NONE",
        "<<EOF ",
        "<<-'EOF' ",
        "\nEOF\n",
        "\n\tEOF\n",
        "1s",
        "SIGKILL",
        "# check=skip=a\n",
        "# syntax=docker/dockerfile:1\n",
        "--platform=",
        "--mount=type=",
        "\\\n",
        "\n",
        "\r\n",
        " ",
        "\t",
        "\\",
        "`",
        "\"",
        "'",
        "$",
        "${",
        "}",
        "[",
        "]",
        ",",
        "=",
        ":",
        "#",
        "/",
        "-",
        "--",
        "--from=",
        "--chown=",
        "<<",
        "EOF",
        "a",
        "0",
        "ü",
        "\u{feff}",
        "\u{a0}",
        "# escape=`\n",
        "\"a\"",
        "?",
        "%",
        "*",
    ];
    prop::collection::vec(prop::sample::select(parts), 0..40).prop_map(|parts| parts.concat())
}

/// A Dockerfile of the cases, cut and mixed with soup at a few places.
fn mutated() -> impl Strategy<Value = String> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/language/cases");
    let files = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut texts: Vec<String> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "Dockerfile")
        })
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    texts.sort();
    let change = (any::<prop::sample::Index>(), 0..6_usize, soup());
    let changes = prop::collection::vec(change, 1..4);
    (prop::sample::select(texts), changes).prop_map(|(mut text, changes)| {
        for (at, cut, soup) in changes {
            let letters: Vec<char> = text.chars().collect();
            let at = at.index(letters.len() + 1);
            let end = (at + cut).min(letters.len());
            let soup = soup.chars().take(12);
            let (before, after) = (&letters[..at], &letters[end..]);
            text = before
                .iter()
                .copied()
                .chain(soup)
                .chain(after.iter().copied())
                .collect();
        }
        text
    })
}

fn unchecked(text: &str) -> CheckRequest {
    CheckRequest {
        store: None,
        context: None,
        dockerfile: DockerfileText::new(text),
        build_args: BTreeMap::new(),
        target: None,
        platform: Platform::host(),
        named_contexts: BTreeMap::new(),
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let inside = |span: Span| text.get(span.start..span.end).is_some();
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    for warning in builder::check::check(&unchecked(text)).warnings {
        prop_assert!(inside(warning.span), "{warning:?}");
        prop_assert!(line(warning.span.start) == warning.span.line, "{warning:?}");
    }
    match parse(text) {
        Err(error) => {
            prop_assert!(inside(error.span), "{error:?}");
            prop_assert_eq!(line(error.span.start), error.span.line);
        }
        Ok(parsed) => {
            for span in spans(&parsed) {
                prop_assert!(inside(span), "{span:?}");
                prop_assert_eq!(line(span.start), span.line);
            }
            let lookup = |name: &str| (name == "a").then(|| "b *c".to_owned());
            for stage in &parsed.stages {
                for instruction in &stage.instructions {
                    for word in words(instruction) {
                        let whole = word.span.len() == word.text.len();
                        prop_assert!(!whole || parsed.source.slice(word.span) == word.text);
                    }
                    if let Err(error) = instruction.expand(parsed.escape, &lookup) {
                        prop_assert!(inside(error.span), "{error:?}");
                    }
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_parsed_or_refused(text in "(?s).{0,80}") {
        check(&text)?;
    }

    #[test]
    fn any_dockerfile_with_changes_is_parsed_or_refused(text in mutated()) {
        check(&text)?;
    }

    #[test]
    fn any_soup_is_parsed_or_refused(text in soup(), bare in any::<bool>()) {
        check(&if bare { text } else { format!("FROM scratch\n{text}") })?;
    }
}

fn error(text: &str) -> ParseErrorKind {
    parse(text).unwrap_err().kind
}

#[test]
fn sizes_are_bounded() {
    let large = "#".repeat(10).repeat(MAX_FILE_BYTES / 10 + 1);
    assert!(matches!(error(&large), ParseErrorKind::TooLarge { .. }));
    let line = |bytes: usize| format!("FROM scratch\nRUN {}", "x".repeat(bytes - 4));
    assert!(parse(&line(MAX_LINE_BYTES)).is_ok());
    assert!(parse(&(line(MAX_LINE_BYTES) + "\n")).is_ok());
    assert!(matches!(
        error(&line(MAX_LINE_BYTES + 1)),
        ParseErrorKind::LineTooLong { .. }
    ));
    assert!(parse(&"FROM scratch\n".repeat(MAX_STAGES)).is_ok());
    let stages = "FROM scratch\n".repeat(MAX_STAGES + 1);
    assert!(matches!(
        error(&stages),
        ParseErrorKind::TooManyStages { .. }
    ));
}

fn expanded(text: String, value: &str) -> Result<Word, ParseErrorKind> {
    let word = Word {
        text,
        span: Span::default(),
    };
    let lookup = |_: &str| Some(value.to_owned());
    let expanded: Result<Word, ParseError> = word.expand('\\', &lookup, &mut Asked::default());
    expanded.map_err(|error| error.kind)
}

#[test]
fn expansion_is_bounded() {
    let value = "x".repeat(1000);
    let times = MAX_EXPANDED_BYTES / 1000;
    assert!(expanded("$a".repeat(times), &value).is_ok());
    for text in [
        "$a".repeat(times + 1),
        "\"$a\"".repeat(times + 1),
        "${b:+$a}".repeat(times + 1),
    ] {
        assert!(matches!(
            expanded(text, &value),
            Err(ParseErrorKind::Expand(ExpandError::TooLong { .. }))
        ));
    }
    assert!(matches!(
        expanded("${a//x/$a$a$a}".into(), &value),
        Err(ParseErrorKind::Expand(ExpandError::TooLong { .. }))
    ));
    let pattern = "?*".repeat(100);
    assert!(matches!(
        expanded(
            format!("${{a#{pattern}y}}"),
            &"x".repeat(MAX_EXPANDED_BYTES)
        ),
        Err(ParseErrorKind::Expand(ExpandError::TooMuchWork))
    ));
}

/// Generous, for a machine under load; what grows with the square of the text takes minutes.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_large_dockerfile_takes_no_time() {
    let bytes = MAX_FILE_BYTES - 100;
    let times = |part: &str| part.repeat(bytes / part.len());
    let from = "FROM scratch\n";
    for (name, text) in [
        (
            "many instructions",
            format!("{from}{}", times("RUN echo \"$a\"\n")),
        ),
        ("one long RUN", format!("{from}RUN {}", times("a && \\\n"))),
        (
            "heredocs that are none",
            format!("{from}RUN {}", times("'<<' ${a:-b} \\\n")),
        ),
        (
            "unclosed quotes",
            format!("{from}RUN << {}", times("' \\\n")),
        ),
        (
            "one long ENV",
            format!("{from}ENV {}", times("a=\"$b\" \\\n")),
        ),
        ("one long ARG", format!("{from}ARG {}", times("a \\\n"))),
        ("one long COPY", format!("{from}COPY {}", times("a \\\n"))),
        (
            "one long array",
            format!("{from}CMD [{}\"\"]", times("\"a\",\\\n")),
        ),
        ("empty lines", format!("{from}RUN a \\\n{}", times("\n"))),
        ("comments", format!("{from}RUN a \\\n{}", times("#\n"))),
        ("escapes", format!("{from}{}RUN a", times("\\\n"))),
        ("flags", format!("{from}COPY {}", times("--from= \\\n"))),
        (
            "many heredocs",
            format!("{from}{}", times("COPY <<A <<B /x/\n$a\nA\nb\nB\n")),
        ),
        (
            "heredocs in one line",
            format!("{from}RUN {}", times("<<A \\\n")),
        ),
        (
            "one long heredoc",
            format!("{from}COPY <<A /x\n{}\nA\n", times("$b \\$ '\n")),
        ),
        (
            "a heredoc that does not end",
            format!("{from}COPY <<A /x\n{}", times("A \n")),
        ),
        (
            "triggers",
            format!("{from}{}", times("ONBUILD RUN <<A\nA\n")),
        ),
        (
            "trigger in trigger",
            format!("{from}{}", times("ONBUILD \\\n")),
        ),
        (
            "health checks",
            format!(
                "{from}{}",
                times("HEALTHCHECK --interval=1h1m CMD [\"a\"]\n")
            ),
        ),
        ("volumes", format!("{from}VOLUME {}", times("$a \\\n"))),
        (
            "names that nothing defines",
            format!(
                "{from}{}",
                (0..20_000)
                    .map(|n| format!("ENV a{n}=$b{n}\n"))
                    .collect::<String>()
            ),
        ),
        (
            "comments on checks",
            format!(
                "# check=skip={}\n{from}{}",
                "a,".repeat(10_000),
                "# check=skip=b\nENV a=b\n".repeat(20_000)
            ),
        ),
    ] {
        let begin = Instant::now();
        let parsed = parse(&text);
        let checked = builder::check::check(&unchecked(&text));
        if let Ok(parsed) = &parsed {
            let lookup = |_: &str| Some("x".to_owned());
            for instruction in &parsed.stages[0].instructions {
                instruction.expand(parsed.escape, &lookup).unwrap();
            }
        }
        let took = begin.elapsed();
        println!(
            "{name}: {took:?}, {}, {} warnings",
            if parsed.is_ok() { "parsed" } else { "refused" },
            checked.warnings.len()
        );
        assert!(took < LIMIT, "{name}: {took:?}");
    }
}

/// It is to take under 5 ms in a program as it is shipped; this takes about that long without optimisation,
/// and is not alone on its machine.
#[test]
fn a_thousand_lines_are_planned_in_no_time() {
    let mut text = String::from("ARG V=1\nFROM base:$V AS s0\n");
    for number in 1..=100 {
        text.push_str(&format!(
            "FROM s{} AS s{number}\nARG V\nENV A=1 B=\"$A ${{V:-x}}\"\nCOPY --from=s0 a /b/\nRUN a && \\\n b \"$B\"\n\
             LABEL a=\"b\"\nRUN <<EOF\nEOF\n",
            number - 1
        ));
    }
    assert!(text.lines().count() >= 902);
    let best = (0..5).map(|_| {
        let begin = Instant::now();
        let globals = Globals::new(&Platform::host(), Default::default());
        let plan = BuildPlan::new(parse(&text).unwrap(), globals, None).unwrap();
        assert_eq!(plan.stages.len(), 101);
        begin.elapsed()
    });
    let best = best.min().unwrap();
    println!("{} lines: {best:?}", text.lines().count());
    assert!(best < Duration::from_millis(250), "{best:?}");
}
