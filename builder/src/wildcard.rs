//! Wildcards, matched in time that grows with text times pattern whatever the pattern: the engine under
//! `COPY`'s patterns, ignore patterns and `${name#pattern}`.

/// A character, or beyond all characters a byte that is part of none.
pub(crate) type Symbol = u32;

const STRAY: Symbol = 0x11_0000;

/// The symbols of a text, each with its length in bytes.
pub(crate) fn symbols(text: &[u8]) -> impl Iterator<Item = (Symbol, usize)> {
    text.utf8_chunks().flat_map(|chunk| {
        let stray = chunk.invalid().iter().map(|byte| (stray(*byte), 1));
        let valid = chunk.valid().chars();
        valid
            .map(|letter| (Symbol::from(letter), letter.len_utf8()))
            .chain(stray)
    })
}

fn stray(byte: u8) -> Symbol {
    STRAY + Symbol::from(byte)
}

/// A set of symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// This one.
    Is(char),
    /// All but `/`.
    NotSlash,
    /// All but a line feed.
    NotNewline,
    /// Those in, or with `not` those outside of, the ranges.
    Ranges {
        /// Whether those outside are meant.
        not: bool,
        /// First and last of each range.
        ranges: Vec<(char, char)>,
    },
}

impl Set {
    fn holds(&self, symbol: Symbol) -> bool {
        match self {
            Set::Is(letter) => symbol == Symbol::from(*letter),
            Set::NotSlash => symbol != Symbol::from('/'),
            Set::NotNewline => symbol != Symbol::from('\n'),
            Set::Ranges { not, ranges } => {
                let inside = ranges.iter().any(|(first, last)| {
                    (Symbol::from(*first)..=Symbol::from(*last)).contains(&symbol)
                });
                inside != *not
            }
        }
    }
}

/// One item of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// One symbol.
    One(Set),
    /// Any number of symbols.
    Many(Set),
    /// The next items, as many as said, may be missing as a whole.
    Maybe(usize),
    /// Nothing, but only at the beginning of the text.
    Start,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Wildcard {
    items: Vec<Item>,
    /// What every text that matches begins and ends with: most texts are refused by these.
    prefix: Vec<u8>,
    suffix: Vec<u8>,
}

/// For each place in the pattern, the earliest place in the text where a match began that got there.
type States = Vec<Option<usize>>;

impl Wildcard {
    pub(crate) fn new(items: Vec<Item>) -> Self {
        let literal = |item: &Item| match item {
            Item::One(Set::Is(letter)) => Some(*letter),
            _ => None,
        };
        let prefix: String = items.iter().map_while(literal).collect();
        let optional = |at: usize| {
            (0..at)
                .any(|before| matches!(items[before], Item::Maybe(count) if before + count >= at))
        };
        let suffix: Vec<char> = (0..items.len())
            .rev()
            .map_while(|at| literal(&items[at]).filter(|_| !optional(at)))
            .collect();
        let suffix: String = suffix.into_iter().rev().collect();
        Wildcard {
            items,
            prefix: prefix.into_bytes(),
            suffix: suffix.into_bytes(),
        }
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        if !text.starts_with(&self.prefix) || !text.ends_with(&self.suffix) {
            return false;
        }
        if self.prefix.len() == text.len() && self.items.iter().all(is_literal) {
            return true;
        }
        self.after(text)
            .is_some_and(|states| states[self.items.len()].is_some())
    }

    /// Whether the text, or a longer one that begins with it, can match.
    pub(crate) fn may_begin_with(&self, text: &[u8]) -> bool {
        self.after(text).is_some()
    }

    /// Where in the pattern one can be after the whole text.
    fn after(&self, text: &[u8]) -> Option<States> {
        let mut states = self.none();
        let mut next = self.none();
        self.enter(&mut states, 0, 0);
        self.settle(&mut states, true);
        for (symbol, _) in symbols(text) {
            self.step(&states, symbol, &mut next);
            self.settle(&mut next, false);
            std::mem::swap(&mut states, &mut next);
            if states.iter().all(Option::is_none) {
                return None;
            }
        }
        Some(states)
    }

    /// Where a match that begins with the text ends: the longest one, or else the shortest.
    pub(crate) fn prefix_of(
        &self,
        text: impl Iterator<Item = char>,
        longest: bool,
    ) -> Option<usize> {
        let mut states = self.none();
        let mut next = self.none();
        self.enter(&mut states, 0, 0);
        self.settle(&mut states, true);
        let mut end = None;
        let mut read = 0;
        let mut text = text;
        loop {
            if states[self.items.len()].is_some() {
                end = Some(read);
                if !longest {
                    return end;
                }
            }
            let Some(letter) = text.next() else {
                return end;
            };
            self.step(&states, Symbol::from(letter), &mut next);
            self.settle(&mut next, false);
            std::mem::swap(&mut states, &mut next);
            if states.iter().all(Option::is_none) {
                return end;
            }
            read += 1;
        }
    }

    /// The first match at or after `from`, and of those that begin there the longest. All counted in characters.
    pub(crate) fn find(&self, text: &[char], from: usize) -> Option<(usize, usize)> {
        let mut states = self.none();
        let mut next = self.none();
        let mut found: Option<(usize, usize)> = None;
        for at in from..=text.len() {
            if found.is_none() {
                self.enter(&mut states, 0, at);
            }
            self.settle(&mut states, at == 0);
            if let Some(begin) = states[self.items.len()]
                && found.is_none_or(|(best, _)| begin <= best)
            {
                found = Some((begin, at));
            }
            if let Some((best, _)) = found {
                // what began later cannot win any more
                for state in &mut states {
                    *state = state.filter(|begin| *begin <= best);
                }
                if states.iter().all(Option::is_none) {
                    break;
                }
            }
            let Some(letter) = text.get(at) else {
                break;
            };
            self.step(&states, Symbol::from(*letter), &mut next);
            std::mem::swap(&mut states, &mut next);
        }
        found
    }

    fn none(&self) -> States {
        vec![None; self.items.len() + 1]
    }

    fn enter(&self, states: &mut States, at: usize, begin: usize) {
        let state = &mut states[at];
        *state = Some(state.map_or(begin, |earlier| earlier.min(begin)));
    }

    /// Goes on where no symbol is needed; all such ways lead forward.
    fn settle(&self, states: &mut States, at_start: bool) {
        for (at, item) in self.items.iter().enumerate() {
            let Some(begin) = states[at] else { continue };
            match item {
                Item::One(_) => {}
                Item::Many(_) => self.enter(states, at + 1, begin),
                Item::Maybe(count) => {
                    self.enter(states, at + 1, begin);
                    self.enter(states, at + 1 + count, begin);
                }
                Item::Start if at_start => self.enter(states, at + 1, begin),
                Item::Start => {}
            }
        }
    }

    fn step(&self, states: &States, symbol: Symbol, next: &mut States) {
        next.fill(None);
        for (at, item) in self.items.iter().enumerate() {
            let Some(begin) = states[at] else { continue };
            match item {
                Item::One(set) if set.holds(symbol) => self.enter(next, at + 1, begin),
                Item::Many(set) if set.holds(symbol) => self.enter(next, at, begin),
                _ => {}
            }
        }
    }
}

fn is_literal(item: &Item) -> bool {
    matches!(item, Item::One(Set::Is(_)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Wildcard {
        Wildcard::new(
            text.chars()
                .map(|letter| match letter {
                    '*' => Item::Many(Set::NotSlash),
                    '?' => Item::One(Set::NotSlash),
                    '^' => Item::Start,
                    _ => Item::One(Set::Is(letter)),
                })
                .collect(),
        )
    }

    #[test]
    fn whole_texts() {
        for (wildcard, text, matched) in [
            ("", "", true),
            ("", "a", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*c", "ac", true),
            ("a*c", "abbc", true),
            ("a*c", "ab/c", false),
            ("aa*aa", "aaa", false),
            ("?", "ü", true),
            ("^a", "a", true),
            ("*^a", "ba", false),
            ("*^a", "a", true),
        ] {
            assert_eq!(
                pattern(wildcard).matches(text.as_bytes()),
                matched,
                "{wildcard} {text}"
            );
        }
        assert!(pattern("a?b").matches(b"a\xffb"));
        assert!(!pattern("a??b").matches("aüb".as_bytes()));
    }

    #[test]
    fn what_may_be_missing() {
        let wildcard = Wildcard::new(vec![
            Item::Maybe(2),
            Item::Many(Set::NotNewline),
            Item::One(Set::Is('/')),
            Item::One(Set::Is('x')),
        ]);
        for (text, matched) in [("x", true), ("a/b/x", true), ("/x", true), ("ax", false)] {
            assert_eq!(wildcard.matches(text.as_bytes()), matched, "{text}");
        }
        assert!(Wildcard::new(vec![Item::Maybe(1), Item::One(Set::Is('x'))]).matches(b""));
    }

    #[test]
    fn beginnings_and_the_first_match() {
        let text: Vec<char> = "xaxbxb".chars().collect();
        assert_eq!(pattern("x*b").prefix_of("xaxbxb".chars(), true), Some(6));
        assert_eq!(pattern("x*b").prefix_of("xaxbxb".chars(), false), Some(4));
        assert_eq!(pattern("b").prefix_of("xb".chars(), true), None);
        assert_eq!(pattern("a*b").find(&text, 0), Some((1, 6)));
        assert_eq!(pattern("b").find(&text, 4), Some((5, 6)));
        assert_eq!(pattern("").find(&text, 6), Some((6, 6)));
        assert_eq!(pattern("ab").find(&text, 0), None);
    }

    #[test]
    fn no_pattern_takes_forever() {
        let text = "a".repeat(20_000);
        assert!(!pattern(&"a*".repeat(60)).matches(format!("{text}/").as_bytes()));
    }

    /// Whether the whole text matches, as anyone would write it who does not mind the time.
    fn plainly(items: &[Item], text: &[char], at_start: bool) -> bool {
        let Some((item, rest)) = items.split_first() else {
            return text.is_empty();
        };
        let first = |set: &Set| {
            text.first()
                .is_some_and(|one| set.holds(Symbol::from(*one)))
        };
        match item {
            Item::One(set) => first(set) && plainly(rest, &text[1..], false),
            Item::Many(set) => {
                plainly(rest, text, at_start) || first(set) && plainly(items, &text[1..], false)
            }
            Item::Maybe(count) => {
                plainly(rest, text, at_start) || plainly(&rest[*count..], text, at_start)
            }
            Item::Start => at_start && plainly(rest, text, true),
        }
    }

    fn items() -> impl Strategy<Value = Vec<Item>> {
        let set = || {
            prop::sample::select(vec![
                Set::Is('a'),
                Set::Is('b'),
                Set::NotSlash,
                Set::NotNewline,
                Set::Ranges {
                    not: true,
                    ranges: vec![('a', 'b')],
                },
            ])
        };
        let group = prop_oneof![
            4 => set().prop_map(|set| vec![Item::One(set)]),
            3 => set().prop_map(|set| vec![Item::Many(set)]),
            1 => set().prop_map(|set| vec![Item::Maybe(2), Item::Many(set), Item::One(Set::Is('/'))]),
            1 => Just(vec![Item::Start]),
        ];
        prop::collection::vec(group, 0..6).prop_map(|groups| groups.concat())
    }

    proptest! {
        #[test]
        fn as_good_as_the_plain_way(items in items(), text in "[ab/\n]{0,7}") {
            let wildcard = Wildcard::new(items.clone());
            let letters: Vec<char> = text.chars().collect();
            prop_assert_eq!(wildcard.matches(text.as_bytes()), plainly(&items, &letters, true));
            let ends: Vec<usize> = (0..=letters.len())
                .filter(|end| plainly(&items, &letters[..*end], true))
                .collect();
            prop_assert_eq!(wildcard.prefix_of(text.chars(), false), ends.first().copied());
            prop_assert_eq!(wildcard.prefix_of(text.chars(), true), ends.last().copied());
            let found = (0..=letters.len()).find_map(|begin| {
                let end = (begin..=letters.len())
                    .rfind(|end| plainly(&items, &letters[begin..*end], begin == 0))?;
                Some((begin, end))
            });
            prop_assert_eq!(wildcard.find(&letters, 0), found);
            if wildcard.matches(text.as_bytes()) {
                for (end, _) in text.char_indices() {
                    prop_assert!(wildcard.may_begin_with(&text.as_bytes()[..end]));
                }
            }
        }
    }
}
