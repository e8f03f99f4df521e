//! Which rules are followed.

use super::rule::Rule;
use crate::dockerfile::ast::{Checks, Rules};

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
    use crate::dockerfile::Word;
    use crate::dockerfile::directive::checks;

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
