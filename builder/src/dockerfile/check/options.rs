//! Which rules are followed.

use super::RULES;
use super::rule::Rule;
use crate::dockerfile::ast::{Checks, Rules};

/// What `# check` and the comments before an instruction say of each rule. Small, whatever they hold: there is
/// one for each instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The rules that are silent, a bit for each place in [`RULES`].
    skip: u64,
    /// The experimental rules that are not, likewise.
    experimental: u64,
}

const _: () = assert!(RULES.len() <= u64::BITS as usize);

impl Chosen {
    pub(super) fn new(checks: &Checks) -> Self {
        Self {
            skip: bits(&checks.skip),
            experimental: bits(&checks.experimental),
        }
    }

    /// These and those of a comment before an instruction.
    pub(super) fn and(self, comment: Self) -> Self {
        Self {
            skip: self.skip | comment.skip,
            experimental: self.experimental | comment.experimental,
        }
    }

    /// Whether the rule is followed. As docker has it, no `skip` holds for an experimental one.
    pub(super) fn follows(self, rule: &Rule) -> bool {
        let bit = RULES.iter().position(|known| *known == rule);
        let bit = bit.map_or(0, |at| 1 << at);
        match rule.experimental {
            true => self.experimental & bit != 0,
            false => self.skip & bit == 0,
        }
    }
}

fn bits(rules: &Rules) -> u64 {
    let named = |rule: &&&Rule| match rules {
        Rules::All => true,
        Rules::Named(names) => names.iter().any(|name| name == rule.name),
    };
    let places = RULES.iter().enumerate();
    let bits = places
        .filter(|(_, rule)| named(rule))
        .map(|(at, _)| 1 << at);
    bits.fold(0, |all, bit: u64| all | bit)
}

/// All names in the options.
pub(super) fn names(checks: &Checks) -> impl Iterator<Item = &str> {
    let named = |rules| match rules {
        &Rules::All => &[],
        Rules::Named(names) => names.as_slice(),
    };
    let names = named(&checks.skip)
        .iter()
        .chain(named(&checks.experimental));
    names.map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::Word;
    use crate::dockerfile::directive::checks;

    fn chosen(text: &str) -> Chosen {
        let text = text.to_owned();
        let span = Default::default();
        Chosen::new(&checks(&Word { text, span }).unwrap())
    }

    fn followed(chosen: Chosen) -> usize {
        RULES.iter().filter(|rule| chosen.follows(rule)).count()
    }

    #[test]
    fn a_comment_adds() {
        let file = chosen("skip=StageNameCasing");
        let both = file.and(chosen("skip=UndefinedVar;experimental=all"));
        assert_eq!(followed(file), RULES.len() - 2);
        assert_eq!(followed(both), RULES.len() - 2);
        let all = chosen("skip=all");
        assert_eq!(followed(all), 0);
        assert_eq!(followed(all.and(chosen("experimental=all"))), 1);
        assert_eq!(chosen("skip=Nonsense"), Chosen::default());
    }
}
