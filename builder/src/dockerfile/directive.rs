//! Parser directives: the comments `# name=value` at the top of a Dockerfile.

use super::ast::{Checks, Rules, Word};
use super::error::{ParseError, ParseErrorKind};
use super::lexer::PhysicalLine;
use super::span::Source;

/// The newest version of the language that is read here.
const NEWEST: (u32, u32) = (1, 26);

/// What the directives say.
#[derive(Debug)]
pub(super) struct Directives {
    /// The escape character.
    pub escape: char,
    /// `# check`
    pub checks: Checks,
}

/// Reads the directives, up to the first other line.
pub(super) fn read<'a>(
    source: &Source,
    lines: &mut std::iter::Peekable<impl Iterator<Item = PhysicalLine<'a>>>,
) -> Result<Directives, ParseError> {
    let mut directives = Directives {
        escape: '\\',
        checks: Checks::default(),
    };
    let mut seen: Vec<String> = Vec::new();
    // docker looks past it for the syntax and the checks, but not for the escape character
    let shebang = lines.next_if(|line| line.body.starts_with("#!")).is_some();
    while let Some(line) = lines.peek() {
        let trimmed = line.body.trim_start();
        let Some((name, value)) = directive(trimmed) else {
            break;
        };
        let begin = line.start + (line.body.len() - trimmed.len());
        let span = source.span(begin, line.start + line.body.trim_end().len());
        let name = name.to_ascii_lowercase();
        let value = Word {
            text: value.to_owned(),
            span,
        };
        match name.as_str() {
            "escape" | "syntax" | "check" if seen.contains(&name) => {
                let kind = ParseErrorKind::DirectiveTwice { name };
                return Err(ParseError::new(kind, span));
            }
            "escape" if !shebang => directives.escape = escape_character(&value)?,
            "escape" => {}
            "syntax" => known_syntax(&value)?,
            "check" => directives.checks = checks(&value)?,
            _ => break,
        }
        seen.push(name);
        lines.next();
    }
    Ok(directives)
}

/// `# name = value`
fn directive(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let named = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (named && !value.is_empty()).then_some((name, value))
}

fn escape_character(value: &Word) -> Result<char, ParseError> {
    match value.text.as_str() {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        text => {
            let value_text = text.to_owned();
            let kind = ParseErrorKind::BadEscape { value: value_text };
            Err(ParseError::new(kind, value.span))
        }
    }
}

/// Accepts docker's own front ends, whose language this is, up to the version that is read here; `value`
/// is that of `# syntax`, or the build argument `BUILDKIT_SYNTAX`.
///
/// # Errors
/// When it names another front end, or a newer version.
pub fn known_syntax(value: &Word) -> Result<(), ParseError> {
    let error = |kind| Err(ParseError::new(kind, value.span));
    let image = value.text.split([' ', '\t']).next().unwrap_or_default();
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let (name, tag) = match name.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (name, None),
    };
    if !matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream") {
        let value = value.text.clone();
        return error(ParseErrorKind::UnknownSyntax { value }).map_err(|error| {
            error.hint(
                "only docker/dockerfile is read: remove the line if the file is an ordinary Dockerfile",
            )
        });
    }
    match tag {
        None => Ok(()),
        Some(tag) if known_version(tag) => Ok(()),
        // what a digest names is said by no tag; the name alone tells the language
        Some(tag) if digest && !tag.starts_with(|first: char| first.is_ascii_digit()) => Ok(()),
        Some(tag) => {
            let version = tag.to_owned();
            let (major, minor) = NEWEST;
            error(ParseErrorKind::SyntaxVersion { version }).map_err(|error| {
                error.hint(format!(
                    "versions up to {major}.{minor} are read: if the file needs nothing newer, write docker/dockerfile:1"
                ))
            })
        }
    }
}

/// Whether a tag of docker's front end is one of a version that is read here.
fn known_version(tag: &str) -> bool {
    let (version, channel) = tag.split_once('-').unwrap_or((tag, ""));
    let channel_known = matches!(channel, "" | "labs" | "experimental")
        || channel.starts_with("rc") && channel.len() < 8;
    if matches!(version, "latest" | "labs" | "master" | "experimental") {
        return channel_known;
    }
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor, patch, more) = (
        numbers.next().flatten(),
        numbers.next(),
        numbers.next(),
        numbers.next(),
    );
    let minor = match minor {
        None => Some(0),
        Some(minor) => minor,
    };
    channel_known
        && major == Some(NEWEST.0)
        && minor.is_some_and(|minor| minor <= NEWEST.1)
        && patch.is_none_or(|patch| patch.is_some())
        && more.is_none()
}

/// What a linter is to do, as `# check` or the build argument `BUILDKIT_DOCKERFILE_CHECK` says it:
/// `skip=RULE,RULE;error=true;experimental=all`.
///
/// # Errors
/// When it is something else.
pub fn checks(value: &Word) -> Result<Checks, ParseError> {
    let error = |option: &str| {
        let option = option.to_owned();
        let kind = ParseErrorKind::BadCheck { option };
        Err(ParseError::new(kind, value.span)
            .hint("write skip=RULE,RULE or skip=all, error=true, experimental=all, with ; between"))
    };
    let mut checks = Checks {
        span: Some(value.span),
        ..Checks::default()
    };
    // docker reads up to the first space
    let text = value.text.split(' ').next().unwrap_or_default();
    if text.is_empty() {
        return Ok(Checks::default());
    }
    for option in text.splitn(3, ';') {
        let Some((name, value)) = option.split_once('=') else {
            return error(option);
        };
        match name.trim() {
            "skip" => checks.skip = rules(value),
            "experimental" => checks.experimental = rules(value),
            "error" => match value.trim() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => checks.error = true,
                "0" | "f" | "F" | "false" | "FALSE" | "False" => checks.error = false,
                _ => return error(option),
            },
            _ => return error(option),
        }
    }
    Ok(checks)
}

fn rules(value: &str) -> Rules {
    match value.trim() {
        "all" => Rules::All,
        named => Rules::Named(named.split(',').map(|one| one.trim().to_owned()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            span: Default::default(),
        }
    }

    #[test]
    fn versions_of_the_front_end() {
        for good in [
            "docker/dockerfile",
            "docker/dockerfile:1",
            "docker.io/docker/dockerfile:1.26",
            "docker/dockerfile:1.7-labs",
            "docker/dockerfile:1.7.1",
            "docker/dockerfile:labs",
            "docker/dockerfile:latest",
            "docker/dockerfile:1.25-rc2",
            "docker/dockerfile-upstream:master",
            "docker/dockerfile:1@sha256:00",
            "docker/dockerfile@sha256:00",
            "docker/dockerfile:1 --some",
        ] {
            assert!(known_syntax(&word(good)).is_ok(), "{good}");
        }
        for bad in [
            "docker/dockerfile:2",
            "docker/dockerfile:1.27",
            "docker/dockerfile:1.x",
            "docker/dockerfile:1.2.3.4",
            "docker/dockerfile:1-windows",
            "docker/dockerfile:2@sha256:00",
            "ghcr.io/docker/dockerfile:1",
            "other/frontend:1",
        ] {
            assert!(known_syntax(&word(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_linter_is_to_do() {
        let read = checks(&word("skip=A,B;error=true;experimental=all")).unwrap();
        assert_eq!(read.skip, Rules::Named(vec!["A".into(), "B".into()]));
        assert_eq!((read.error, read.experimental), (true, Rules::All));
        assert_eq!(checks(&word("skip=all x=y")).unwrap().skip, Rules::All);
        for bad in ["x", "x=y", "error=yes", "error=true;"] {
            assert!(checks(&word(bad)).is_err(), "{bad}");
        }
    }
}
