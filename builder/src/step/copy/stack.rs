//! Sources in a root file system: `COPY --from`.

use image_format::layer::Meta;
use image_format::nearest::nearest;

use crate::context::SourcePattern;
use crate::dockerfile::{Span, Word};
use crate::glob::Glob;

use super::CopyError;
use super::resolve::{Seen, parent, resolve};
use super::rootfs::{Child, Rootfs};
use super::source::{Role, Source, SourceEntry, SourceKind, Unpacking, join};

/// What a source names, with all that is in it: owners, times and attributes as they are. The root
/// file system has the number `origin`.
///
/// # Errors
/// When a plain path is not there, or a pattern is not valid.
pub(super) fn find(
    rootfs: &Rootfs,
    origin: usize,
    text: &str,
    span: Span,
) -> Result<Vec<Source>, CopyError> {
    let found = |name| {
        let mut source = found(rootfs, name, span)?;
        source.origin = origin;
        Ok(source)
    };
    let parsed = SourcePattern::parse(text);
    match parsed.map_err(|source| CopyError::Pattern { source, span })? {
        SourcePattern::Plain(name) => Ok(vec![found(name)?]),
        SourcePattern::Wild { base, globs } => {
            let at = follow(rootfs, &base, span)?;
            let mut names = Vec::new();
            matching(rootfs, &base, &at, &globs, &mut names);
            names.into_iter().map(found).collect()
        }
    }
}

/// Checks that there is something at a plain path.
///
/// # Errors
/// When there is not.
pub(super) fn check(rootfs: &Rootfs, source: &Word) -> Result<(), CopyError> {
    let name: Vec<u8> = source.text.trim_matches('/').into();
    let at = follow(rootfs, &name, source.span)?;
    match at.is_empty() || rootfs.seen(&at).is_some() {
        true => Ok(()),
        false => Err(missing(rootfs, &name, &at, source.span)),
    }
}

fn matching(rootfs: &Rootfs, base: &[u8], at: &[u8], globs: &[Glob], names: &mut Vec<Vec<u8>>) {
    let Some((glob, rest)) = globs.split_first() else {
        return;
    };
    for Child { name, kind, .. } in rootfs.children(at) {
        if !glob.matches(&name) {
            continue;
        }
        let (path, at) = (join(base, &name), join(at, &name));
        if rest.is_empty() {
            names.push(path);
        } else if matches!(kind, SourceKind::Dir) {
            matching(rootfs, &path, &at, rest, names);
        }
    }
}

fn follow(rootfs: &Rootfs, name: &[u8], span: Span) -> Result<Vec<u8>, CopyError> {
    resolve(name, |path| rootfs.seen(path)).map_err(|_| CopyError::Loop {
        path: shown(name),
        span,
    })
}

fn found(rootfs: &Rootfs, name: Vec<u8>, span: Span) -> Result<Source, CopyError> {
    let at = follow(rootfs, &name, span)?;
    let Some((kind, meta)) = rootfs.entry(&at) else {
        return Err(missing(rootfs, &name, &at, span));
    };
    let mut entries = entries(rootfs, &at, kind, meta);
    for entry in &mut entries {
        // To who copies from it, a directory is there however it came to be.
        entry.implied = false;
    }
    Ok(Source {
        name,
        at,
        entries,
        origin: 0,
        known: None,
        unpacking: Unpacking::No,
        role: Role::Asked,
    })
}

/// What is at a path, and in it, sorted as in a layer.
pub(super) fn entries(
    rootfs: &Rootfs,
    at: &[u8],
    kind: SourceKind,
    meta: Meta,
) -> Vec<SourceEntry> {
    let mut entries = Vec::new();
    // Not by recursion: a layer may nest its directories as deep as it likes.
    let mut ahead = vec![SourceEntry {
        below: Vec::new(),
        kind,
        meta,
        implied: false,
    }];
    while let Some(next) = ahead.pop() {
        if matches!(next.kind, SourceKind::Dir) {
            let children = rootfs.children(&join(at, &next.below)).into_iter().rev();
            ahead.extend(children.map(|child| SourceEntry {
                below: join(&next.below, &child.name),
                kind: child.kind,
                meta: child.meta,
                implied: child.implied,
            }));
        }
        entries.push(next);
    }
    entries
}

/// The error for what is not there, with the name beside it that is nearest.
fn missing(rootfs: &Rootfs, name: &[u8], at: &[u8], span: Span) -> CopyError {
    let mut lost = at;
    while !parent(lost).is_empty() && rootfs.seen(parent(lost)) != Some(Seen::Dir) {
        lost = parent(lost);
    }
    let directory = parent(lost);
    let wanted = String::from_utf8_lossy(lost.strip_prefix(directory).unwrap_or(lost));
    let names = rootfs.children(directory);
    let names = names
        .iter()
        .map(|child| String::from_utf8_lossy(&child.name));
    let near = nearest(wanted.trim_start_matches('/'), names);
    CopyError::Missing {
        name: shown(name),
        nearest: near.map(|near| shown(&join(directory, near.as_bytes()))),
        span,
    }
}

fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}
