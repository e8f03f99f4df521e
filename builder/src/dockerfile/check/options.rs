//! Which rules are followed.

use super::rule::Rule;
use crate::dockerfile::ast::{Checks, Rules, Word};
use crate::dockerfile::{ParseError, ParseErrorKind};

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

impl Checks {
    /// These and those of a comment before an instruction, which cannot make warnings errors.
    pub(super) fn and(&self, comment: &Self) -> Self {
        Self {
            skip: self.skip.and(&comment.skip),
            experimental: self.experimental.and(&comment.experimental),
            error: self.error,
            span: self.span,
        }
    }

    /// Whether the rule is followed. As docker has it, no `skip` holds for an experimental one.
    pub(super) fn follow(&self, rule: &Rule) -> bool {
        match rule.experimental {
            true => self.experimental.contain(rule.name),
            false => !self.skip.contain(rule.name),
        }
    }

    /// All names in it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let named = |rules| match rules {
            &Rules::All => &[],
            Rules::Named(names) => names.as_slice(),
        };
        let names = named(&self.skip).iter().chain(named(&self.experimental));
        names.map(String::as_str)
    }
}

impl Rules {
    fn and(&self, more: &Self) -> Self {
        match (self, more) {
            (Rules::Named(some), Rules::Named(more)) => {
                Rules::Named([some.as_slice(), more].concat())
            }
            _ => Rules::All,
        }
    }

    fn contain(&self, name: &str) -> bool {
        match self {
            Rules::All => true,
            Rules::Named(names) => names.iter().any(|known| known == name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_adds_and_makes_no_errors() {
        let read = |text: &str| {
            let text = text.to_owned();
            let span = Default::default();
            checks(&Word { text, span }).unwrap()
        };
        let both = read("skip=A").and(&read("skip=B;error=true"));
        assert_eq!(both.names().collect::<Vec<_>>(), ["A", "B"]);
        assert!(!both.error);
        assert_eq!(read("skip=all").and(&read("skip=B")).skip, Rules::All);
    }
}
