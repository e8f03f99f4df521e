//! From lines to stages.

use super::MAX_STAGES;
use super::ast::{Dockerfile, Instruction, Stage, Warning, Word};
use super::error::{ParseError, ParseErrorKind};
use super::instruction::{self, NAMES};
use super::lexer::Lexer;
use super::span::{Source, Span};
use super::statement::Statement;

/// Parses a Dockerfile. The first mistake is the error; its span points into `text`.
///
/// # Errors
/// When docker would refuse the text.
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
    let (read, error) = match Lexer::new(&source) {
        Ok(mut lexer) => {
            let read = parser.all(&mut lexer);
            let error = read.and_then(|()| parser.has_stages(&source)).err();
            (lexer.finish(), error)
        }
        Err(error) => (Default::default(), Some(error)),
    };
    parser.warnings.extend(read.warnings);
    parser.warnings.sort_by_key(|warning| warning.span);
    let dockerfile = Dockerfile {
        source,
        escape: read.escape,
        checks: read.checks,
        global_args: parser.global_args,
        stages: parser.stages,
        comments: read.comments,
        warnings: parser.warnings,
    };
    (dockerfile, error)
}

/// Parses a trigger that a base image brings, as its config keeps it. Its places are all `at`, where the
/// base is named.
///
/// # Errors
/// When it is not one instruction, or one that no trigger can be.
pub fn parse_trigger(text: &str, at: Span) -> Result<Instruction, ParseError> {
    let source = Source::at(text, at);
    let mut parser = Parser {
        trigger: true,
        ..Parser::default()
    };
    parser.all(&mut Lexer::new(&source)?)?;
    let count = parser.global_args.len();
    match parser.global_args.pop() {
        Some(instruction) if count == 1 => Ok(instruction),
        _ => Err(ParseError::new(ParseErrorKind::TriggerCount { count }, at)),
    }
}

#[derive(Default)]
struct Parser {
    global_args: Vec<Instruction>,
    stages: Vec<Stage>,
    warnings: Vec<Warning>,
    /// Whether the text is a trigger: then its instructions are found in `global_args`.
    trigger: bool,
}

impl Parser {
    fn has_stages(&self, source: &Source) -> Result<(), ParseError> {
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

    fn all(&mut self, lexer: &mut Lexer<'_>) -> Result<(), ParseError> {
        while let Some(line) = lexer.line() {
            let statement = Statement::new(lexer.source(), &line, lexer.escape());
            let openings = statement.openings().into_iter();
            let heredocs = openings.map(|(opening, span)| lexer.heredoc(opening, span));
            let heredocs = heredocs.collect::<Result<Vec<_>, _>>()?;
            self.statement(&statement.with_heredocs(heredocs))?;
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Statement<'_>) -> Result<(), ParseError> {
        let name = known(statement)?;
        if self.trigger {
            if ["FROM", "MAINTAINER", "ONBUILD"].contains(&name) {
                let name = name.to_owned();
                let kind = ParseErrorKind::NotATrigger { name };
                return Err(ParseError::new(kind, statement.whole_span()));
            }
            let instruction = statement.instruction(name, &mut self.warnings)?;
            self.global_args.push(instruction);
            return Ok(());
        }
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
        let instruction = statement.instruction(name, &mut self.warnings)?;
        match self.stages.last_mut() {
            Some(stage) => stage.instructions.push(instruction),
            None => self.global_args.push(instruction),
        }
        Ok(())
    }
}

/// The instruction's name.
fn known(statement: &Statement<'_>) -> Result<&'static str, ParseError> {
    let keyword = statement.keyword();
    if let Some(name) = instruction::known(keyword) {
        return Ok(name);
    }
    let name = keyword.to_owned();
    let nearest = image_format::nearest::nearest(&keyword.to_ascii_uppercase(), NAMES);
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
        triggers: Vec::new(),
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
