//! What the sources of an instruction name, wherever it lies.

use std::sync::Arc;

use crate::address::Address;
use crate::context::{Context, has_wildcard};
use crate::dockerfile::ast::{self, Heredoc};
use crate::dockerfile::{Span, Word};
use crate::lexical;

use super::contents::Origin;
use super::fetch::{self, Checksum};
use super::filter::Filter;
use super::maker::Maker;
use super::rootfs::Rootfs;
use super::source::{Source, SourceKind, Unpacking};
use super::{CopyError, CopySource, CopyStep, closure, stack};

/// The sources of a copy, and where they lie.
pub(super) struct Found<'a> {
    /// By the number that sources know them by.
    pub(super) origins: Vec<Origin<'a>>,
    pub(super) sources: Vec<Source>,
}

impl Found<'_> {
    /// The same once more, if there may be an archive in it.
    pub(super) fn to_unpack(&self) -> Option<Found<'_>> {
        let wanted = |source: &Source| source.unpacking == Unpacking::Wanted;
        self.sources.iter().any(wanted).then(|| Found {
            origins: self.origins.iter().map(Origin::again).collect(),
            sources: self.sources.clone(),
        })
    }
}

/// Finds all sources, and fetches what lies elsewhere. As docker has it, heredocs come last.
///
/// # Errors
/// When one is missing, cannot be read or fetched, or is of a kind that the instruction has not.
pub(super) fn find<'a>(
    maker: &Maker<'_>,
    step: &CopyStep<'a>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Found<'a>, CopyError> {
    let excluded = step.copy.exclude.iter().map(|word| word.text.as_str());
    let span = step
        .copy
        .exclude
        .first()
        .map_or(step.span, |word| word.span);
    let filter = Filter::excluding(excluded);
    let filter = filter.map_err(|source| CopyError::Exclude { source, span })?;
    let checksum = Checksum::of(step)?;
    let mut finder = Finder {
        maker,
        step,
        filter,
        found: Found {
            origins: vec![match step.from {
                CopySource::Context(context) => Origin::Context(context),
                CopySource::Stack(layers) => {
                    Origin::Rootfs(Arc::new(Rootfs::open(maker.store, layers)?))
                }
            }],
            sources: Vec::new(),
        },
    };
    for word in step.copy.paths() {
        match (address(word)?, &step.add) {
            (None, _) => finder.local(word)?,
            (Some(address), Some(add)) => {
                let fetched = fetch::Fetch {
                    maker,
                    add,
                    word,
                    checksum: checksum.as_ref(),
                    filter: &finder.filter,
                    origin: finder.found.origins.len(),
                };
                let (origin, source) = fetched.fetch(address, progress)?;
                finder.found.origins.push(origin);
                finder.found.sources.push(source);
            }
            (Some(_), None) => {
                let (name, span) = (word.text.clone(), word.span);
                return Err(CopyError::Remote { name, span });
            }
        }
    }
    let Found { origins, sources } = &mut finder.found;
    match &origins[0] {
        _ if !step.copy.closure => {}
        Origin::Context(context) => {
            closure::add_from_context(context, maker.epoch, sources, step.span)?;
        }
        Origin::Rootfs(rootfs) => closure::add_from_rootfs(rootfs, sources, step.span)?,
        Origin::Fetched(_) => {}
    }
    for source in &step.copy.sources {
        if let ast::CopySource::Heredoc(heredoc) = source {
            finder.text(heredoc)?;
        }
    }
    Ok(finder.found)
}

/// The address that a source is.
pub(super) fn address(word: &Word) -> Result<Option<Address>, CopyError> {
    let span = word.span;
    Address::parse(&word.text).map_err(|source| CopyError::Address { source, span })
}

struct Finder<'a, 's> {
    maker: &'s Maker<'s>,
    step: &'s CopyStep<'a>,
    filter: Filter,
    found: Found<'a>,
}

impl Finder<'_, '_> {
    fn local(&mut self, word: &Word) -> Result<(), CopyError> {
        let span = word.span;
        if !self.step.copy.parents {
            let sources = self.sources(&word.text, &self.filter, span)?;
            self.add(sources.into_iter().map(|(source, _)| source));
            return Ok(());
        }
        // What stands before the pivot is where it begins, and no part of what is made.
        let (base, wanted) = word.text.split_once("/./").unwrap_or(("", &word.text));
        let wanted = lexical::relative(wanted);
        let filter = self.filter.only(&wanted);
        let filter = filter.map_err(|source| CopyError::Exclude { source, span })?;
        let sources = self.sources(base, &filter, span)?;
        let any = sources.iter().any(|(_, any)| *any);
        if !any && !has_wildcard(base) && !has_wildcard(&wanted) {
            return Err(CopyError::Missing {
                name: format!("/{}", lexical::relative(&word.text)),
                nearest: None,
                span,
            });
        }
        self.add(sources.into_iter().map(|(source, _)| source));
        Ok(())
    }

    fn add(&mut self, sources: impl Iterator<Item = Source>) {
        let unpack = self.step.add.as_ref();
        let unpack = unpack.is_some_and(|add| add.unpack.unwrap_or(true));
        self.found.sources.extend(sources.map(|mut source| {
            let top = source.entries.first().map(|entry| &entry.kind);
            if unpack && matches!(top, Some(SourceKind::File(_))) {
                source.unpacking = Unpacking::Wanted;
            }
            source
        }));
    }

    /// What a path or pattern names, each with whether anything beside itself is left of it.
    fn sources(
        &self,
        text: &str,
        filter: &Filter,
        span: Span,
    ) -> Result<Vec<(Source, bool)>, CopyError> {
        let mut sources: Vec<Source> = match &self.found.origins[0] {
            Origin::Context(context) => self.in_context(context, text, filter, span)?,
            Origin::Rootfs(rootfs) => stack::find(rootfs, 0, text, span)?,
            Origin::Fetched(_) => Vec::new(),
        };
        let any = sources.iter_mut();
        let any: Vec<bool> = any
            .map(|source| filter.apply(&mut source.entries))
            .collect();
        Ok(sources.into_iter().zip(any).collect())
    }

    fn in_context(
        &self,
        context: &Context,
        text: &str,
        filter: &Filter,
        span: Span,
    ) -> Result<Vec<Source>, CopyError> {
        let enter = |below: &[u8]| filter.enters(below);
        let cancel = self.maker.cancel;
        let found = if self.step.literal {
            let path = lexical::relative(text);
            let found = context.find_path(path.as_bytes(), &enter, cancel);
            found.map(|found| vec![found])
        } else {
            context.find(text, &enter, cancel)
        };
        let found = found.map_err(|error| CopyError::context(error, span))?;
        let source = |found| Source::of_context(found, 0, self.maker.epoch);
        Ok(found.into_iter().map(source).collect())
    }

    fn text(&mut self, heredoc: &Heredoc) -> Result<(), CopyError> {
        let Heredoc { name, text, .. } = heredoc;
        if name.contains('/') || matches!(name.as_str(), "" | "." | "..") {
            let (name, span) = (name.clone(), heredoc.span);
            return Err(CopyError::HeredocName { name, span });
        }
        let source = Source::of_text(name, text, self.maker.epoch);
        self.found.sources.push(source);
        Ok(())
    }
}
