//! From lines to stages.

use super::ast::{Dockerfile, Instruction, Stage, Word};
use super::error::{ParseError, ParseErrorKind};
use super::instruction::{REFUSED, SUPPORTED, Statement};
use super::span::Source;
use super::{MAX_STAGES, lexer};

/// Parses a Dockerfile. The first mistake is the error; its span points into `text`.
///
/// # Errors
/// When docker would refuse the text, and when it uses what mkimg does not build.
pub fn parse(text: &str) -> Result<Dockerfile, ParseError> {
    match parse_as_far(text) {
        (dockerfile, None) => Ok(dockerfile),
        (_, Some(error)) => Err(error),
    }
}

/// Parses a Dockerfile up to its first mistake: what stands above it can be checked all the same.
pub fn parse_as_far(text: &str) -> (Dockerfile, Option<ParseError>) {
    let source = Source::new(text);
    let mut parser = Parser::default();
    let (lexed, error) = match lexer::lex(&source) {
        Ok(lexed) => {
            let error = parser.read(&source, &lexed).err();
            (lexed, error)
        }
        Err(error) => (lexer::Lexed::default(), Some(error)),
    };
    let dockerfile = Dockerfile {
        source,
        escape: lexed.escape,
        global_args: parser.global_args,
        stages: parser.stages,
        checks: lexed.checks,
        comments: lexed.comments,
        gaps: lexed.gaps,
    };
    (dockerfile, error)
}

#[derive(Default)]
struct Parser {
    global_args: Vec<Instruction>,
    stages: Vec<Stage>,
}

impl Parser {
    fn read(&mut self, source: &Source, lexed: &lexer::Lexed) -> Result<(), ParseError> {
        for line in &lexed.lines {
            self.statement(&Statement::new(source, line, lexed.escape))?;
        }
        if !self.stages.is_empty() {
            return Ok(());
        }
        let (kind, span) = match self.global_args.first() {
            Some(first) => (ParseErrorKind::NoFrom, first.span),
            None => (ParseErrorKind::NoInstructions, source.span(0, 0)),
        };
        Err(ParseError::new(kind, span)
            .hint("begin with FROM and the image to build on, or FROM scratch"))
    }

    fn statement(&mut self, statement: &Statement<'_>) -> Result<(), ParseError> {
        let name = supported(statement)?;
        if name == "FROM" {
            if self.stages.len() == MAX_STAGES {
                let kind = ParseErrorKind::TooManyStages { limit: MAX_STAGES };
                return Err(ParseError::new(kind, statement.whole_span()));
            }
            self.stages.push(stage(statement)?);
            return Ok(());
        }
        if self.stages.is_empty() && name != "ARG" {
            let kind = ParseErrorKind::BeforeFrom { name };
            return Err(ParseError::new(kind, statement.whole_span())
                .hint("begin with FROM and the image to build on; only ARG may stand before it"));
        }
        let instruction = statement.instruction(name)?;
        match self.stages.last_mut() {
            Some(stage) => stage.instructions.push(instruction),
            None => self.global_args.push(instruction),
        }
        Ok(())
    }
}

/// The instruction's name, if it is one that is built.
fn supported(statement: &Statement<'_>) -> Result<&'static str, ParseError> {
    let keyword = statement.keyword();
    let is = |name: &str| keyword.eq_ignore_ascii_case(name);
    if let Some(name) = SUPPORTED.into_iter().find(|name| is(name)) {
        return Ok(name);
    }
    if let Some((name, hint)) = REFUSED.into_iter().find(|(name, _)| is(name)) {
        let kind = ParseErrorKind::NotSupported { what: name.into() };
        let error = ParseError::new(kind, statement.keyword_span());
        return Err(match hint {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    let name = keyword.to_owned();
    let all = SUPPORTED.into_iter().chain(REFUSED.map(|(name, _)| name));
    let nearest = image_format::nearest::nearest(&keyword.to_ascii_uppercase(), all);
    let kind = ParseErrorKind::UnknownInstruction { name };
    let error = ParseError::new(kind, statement.keyword_span());
    Err(error.hint(match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None if keyword.is_empty() => "the line holds nothing but the escape character".to_owned(),
        None if keyword.contains(char::is_whitespace) => {
            "the space in it is not an ordinary one".to_owned()
        }
        None => {
            "if the line belongs to the one before, end that with the escape character".to_owned()
        }
    }))
}

fn stage(statement: &Statement<'_>) -> Result<Stage, ParseError> {
    let whole = statement.whole_span();
    let mut flags = statement.flags("FROM")?;
    let mut words = statement.blank_separated().into_iter();
    let Some(base) = words.next() else {
        let kind = ParseErrorKind::MissingArgument {
            instruction: "FROM",
            needs: "an image",
        };
        return Err(ParseError::new(kind, whole).hint("FROM scratch begins with nothing"));
    };
    let name = match (words.next(), words.next(), words.next()) {
        (None, ..) => None,
        (Some(between), Some(name), None) if between.text.eq_ignore_ascii_case("as") => {
            Some(stage_name(name)?)
        }
        (Some(second), ..) => {
            let error = ParseError::new(ParseErrorKind::BadFrom, second.span);
            return Err(if second.text.starts_with('#') {
                error.hint("a comment needs a line of its own")
            } else {
                error
            });
        }
    };
    Ok(Stage {
        platform: flags.take("platform"),
        base,
        name,
        span: whole,
        keyword: statement.keyword_span(),
        instructions: Vec::new(),
    })
}

/// Checks a stage's name and puts it into lower case.
fn stage_name(word: Word) -> Result<Word, ParseError> {
    let name = word.text.to_lowercase();
    let valid = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
        });
    if !valid {
        let kind = ParseErrorKind::BadStageName { name: word.text };
        return Err(ParseError::new(kind, word.span)
            .hint("a letter, and then letters, digits, `-`, `_` and `.`"));
    }
    Ok(Word {
        text: name,
        span: word.span,
    })
}
