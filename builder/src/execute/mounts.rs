//! What the mounts of a `RUN` show: found for its key, and made ready where it must be run.
//!
//! Files of the context are copied to a layer of their own, which is keyed and kept like that of a
//! `COPY`: what is mounted is the same, owners and times too, and unpacked once.

use std::borrow::Cow;
use std::path::Path;

use image_format::config::chain_id;
use image_format::layer::apply::{Target, apply};
use image_format::layout::Layer;
use image_format::snapshot::{LayerSource, RootMount};

use super::cached::Keyed;
use super::follow::Build;
use super::layers::{Origin, Step};
use crate::cache::CacheError;
use crate::cache::key::{FilePart, MountPart, Parts, Shows, Surroundings};
use crate::cache::mounts::{self as caches, CacheMount, CacheMounts};
use crate::cache::record;
use crate::context::Context;
use crate::dockerfile::ast::{Copy, MountFlag, Run};
use crate::dockerfile::mount::{Access, From, Mount, MountKind, Sharing};
use crate::dockerfile::{Span, Word};
use crate::error::BuildError;
use crate::executor::{FileAccess, StepMount, StepMountSource};
use crate::lexical::absolute;
use crate::plan::Source;
use crate::progress::Event;
use crate::request::{BuildRequest, Secret};
use crate::stage::StageState;
use crate::step::copy::{self, CopySource, CopyStep, PlannedCopy};
use crate::step::run::{Mounted, RunMountError};
use crate::step::{CopyError, RunError};

/// Where files of the context are in their layer.
const PLACE: &str = "/mount";
/// What the secrets of one command may come to, in bytes: they are kept in memory.
const MOST_SECRETS: usize = 8 << 20;
/// Where docker puts the sockets of agents.
const AGENTS: &str = "/run/buildkit/ssh_agent";

/// The mounts of a command, sorted by their targets, so that one inside another comes after it.
pub(super) struct Mounts<'a> {
    planned: Vec<Planned<'a>>,
    /// Where the first agent's socket is to be, whether there is one or not.
    auth_sock: Option<String>,
}

struct Planned<'a> {
    target: Option<String>,
    span: Span,
    what: What<'a>,
}

enum What<'a> {
    Context {
        source: String,
        read_only: bool,
        copy: Box<PlannedCopy<'a>>,
        keyed: Box<Keyed>,
    },
    Stack {
        source: Word,
        read_only: bool,
        layers: Vec<LayerSource>,
    },
    Cache {
        source: String,
        read_only: bool,
        mount: CacheMount,
        /// What a new one is filled with; none for an empty one.
        seed: Vec<LayerSource>,
    },
    Tmpfs {
        size: Option<u64>,
        read_only: bool,
    },
    Secret {
        id: String,
        env: Option<String>,
        required: bool,
        access: FileAccess,
    },
    Ssh {
        id: String,
        required: bool,
        access: FileAccess,
    },
}

impl Mounts<'_> {
    /// Their parts of the key.
    pub(super) fn parts(&self) -> Vec<MountPart> {
        let planned = self.planned.iter();
        planned
            .map(|planned| MountPart {
                target: planned.target.clone(),
                shows: planned.what.shows(),
            })
            .collect()
    }

    /// The files of the context that they show, for the record.
    pub(super) fn files(&self) -> impl Iterator<Item = FilePart> + Clone {
        let copies = self.planned.iter().filter_map(|one| match &one.what {
            What::Context { copy, .. } => Some(copy.files()),
            _ => None,
        });
        copies.flatten()
    }
}

impl What<'_> {
    fn shows(&self) -> Shows {
        match self {
            Self::Context {
                source,
                read_only,
                keyed,
                ..
            } => Shows::Bind {
                source: source.clone(),
                read_only: *read_only,
                files: Some(keyed.key),
                from: None,
            },
            Self::Stack {
                source,
                read_only,
                layers,
            } => Shows::Bind {
                source: source.text.clone(),
                read_only: *read_only,
                files: None,
                from: chain(layers),
            },
            Self::Cache {
                source,
                read_only,
                mount,
                ..
            } => Shows::Cache {
                id: mount.id.clone(),
                sharing: mount.sharing,
                source: source.clone(),
                read_only: *read_only,
                from: mount.seed,
                access: FileAccess {
                    mode: mount.mode,
                    uid: mount.uid,
                    gid: mount.gid,
                },
            },
            Self::Tmpfs { size, read_only } => Shows::Tmpfs {
                size: *size,
                read_only: *read_only,
            },
            Self::Secret {
                id,
                env,
                required,
                access,
            } => Shows::Secret {
                id: id.clone(),
                env: env.clone(),
                required: *required,
                access: *access,
            },
            Self::Ssh {
                id,
                required,
                access,
            } => Shows::Ssh {
                id: id.clone(),
                required: *required,
                access: *access,
            },
        }
    }
}

fn chain(layers: &[LayerSource]) -> Option<image_format::digest::Digest> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
    chain_id(&diff_ids)
}

/// What else a command depends on that a build was asked for.
pub(super) fn surroundings(request: &BuildRequest) -> Surroundings {
    let hosts = request.add_hosts.iter().map(|(name, _)| name.clone());
    let ulimits = request.ulimits.iter();
    Surroundings {
        hosts: hosts.collect(),
        shm_size: request.shm_size,
        ulimits: ulimits
            .map(|limit| (limit.name.clone(), limit.soft, limit.hard))
            .collect(),
    }
}

impl<'a> Build<'a> {
    /// Finds what the mounts of a command show.
    pub(super) fn mounts(
        &self,
        state: &StageState,
        step: Step<'_>,
        run: &Run,
    ) -> Result<Mounts<'_>, BuildError> {
        let (place, at) = step.place;
        let sources = &self.plan.stages[place].sources;
        let mut planned: Vec<Planned<'_>> = Vec::new();
        let mut auth_sock = None;
        let mut agents = 0;
        for (number, flag) in run.mounts.iter().enumerate() {
            let mount = flag.read()?;
            self.tell_idle(&mount);
            let mut target = mount.target(state.workdir())?;
            if let MountKind::Ssh { .. } = mount.kind {
                let own = target.get_or_insert_with(|| format!("{AGENTS}.{agents}"));
                auth_sock.get_or_insert_with(|| own.clone());
                agents += 1;
            }
            let what = self.what(step, mount, flag, sources.get(&(at, number)))?;
            planned.push(Planned {
                target,
                span: flag.span,
                what,
            });
        }
        planned.sort_by(|one, other| one.target.cmp(&other.target));
        Ok(Mounts { planned, auth_sock })
    }

    /// Says which options mean nothing.
    fn tell_idle(&self, mount: &Mount) {
        for option in &mount.idle {
            self.backend.progress.event(Event::Warning {
                message: &format!(
                    "the option `{}` means nothing to a mount of this type",
                    option.text
                ),
                span: Some(option.span),
            });
        }
    }

    fn what(
        &self,
        step: Step<'_>,
        mount: Mount,
        flag: &MountFlag,
        named: Option<&Source>,
    ) -> Result<What<'_>, BuildError> {
        Ok(match mount.kind {
            MountKind::Bind(From {
                source, read_only, ..
            }) => match self.origin(named, step.built)? {
                Origin::Stack(layers) => What::Stack {
                    source: Word {
                        text: absolute(&format!("/{}", source.text)),
                        span: source.span,
                    },
                    read_only,
                    layers,
                },
                Origin::Context(context) => {
                    let path = absolute(&format!("/{}", source.text));
                    let word = |text, span| Word { text, span };
                    let paths = (
                        word(path.clone(), source.span),
                        word(PLACE.to_owned(), flag.span),
                    );
                    let (copy, keyed) = self.files_of(step, context, paths)?;
                    What::Context {
                        source: path,
                        read_only,
                        copy: Box::new(copy),
                        keyed: Box::new(keyed),
                    }
                }
            },
            MountKind::Cache {
                id,
                sharing,
                from,
                access,
            } => {
                let layers = self.seed(step, named, flag.span)?;
                cache(id, sharing, from, access, layers)
            }
            MountKind::Tmpfs { size, read_only } => What::Tmpfs { size, read_only },
            MountKind::Secret {
                id,
                env,
                required,
                access,
            } => What::Secret {
                id,
                env,
                required,
                access: file_access(access, 0o400),
            },
            MountKind::Ssh {
                id,
                required,
                access,
            } => What::Ssh {
                id,
                required,
                access: file_access(access, 0o600),
            },
        })
    }

    /// Files of a build context, copied from one place to another.
    fn files_of<'c>(
        &self,
        step: Step<'_>,
        context: &'c Context,
        (source, destination): (Word, Word),
    ) -> Result<(PlannedCopy<'c>, Keyed), BuildError> {
        let span = destination.span;
        let (path, place) = (source.text.clone(), destination.text.clone());
        let wanted = CopyStep {
            copy: Cow::Owned(Copy::plain(vec![source], destination)),
            add: None,
            workdir: "/",
            from: CopySource::Context(context),
            // The context's own are of no concern to a build.
            keep_top: path != "/",
            literal: true,
            span,
        };
        let copy = copy::plan_copy(
            &self.request.store,
            &[],
            &wanted,
            self.epoch,
            &mut |bytes, total| self.copied(step, bytes, total),
            &self.cancel,
        );
        let copy = copy.map_err(|error| files(error, span))?;
        let parts = Parts::new(
            None,
            format!("COPY {path} {place}"),
            self.platform.clone(),
            self.epoch,
            copy.reads.clone(),
        );
        let key = parts.key().map_err(CacheError::Record)?;
        let afresh = self.is_afresh(step);
        let keyed = Keyed {
            below: Vec::new(),
            parts,
            key,
            span,
            afresh,
        };
        Ok((copy, keyed))
    }

    /// What a new cache is filled with, of which only `from` may say something.
    fn seed(
        &self,
        step: Step<'_>,
        from: Option<&Source>,
        span: Span,
    ) -> Result<Option<Vec<LayerSource>>, BuildError> {
        if from.is_none() {
            return Ok(None);
        }
        let context = match self.origin(from, step.built)? {
            Origin::Stack(layers) => return Ok(Some(layers)),
            Origin::Context(context) => context,
        };
        let root = || Word {
            text: "/".to_owned(),
            span,
        };
        let (copy, keyed) = self.files_of(step, context, (root(), root()))?;
        let layer = self.layer(step, &copy, &keyed, span);
        let layer = layer.map_err(|error| BuildError::run(span, error))?;
        Ok(Some(vec![layer.into()]))
    }

    /// Makes everything ready for the command to run.
    pub(super) fn ready(&self, step: Step<'_>, mounts: &Mounts<'_>) -> Result<Mounted, RunError> {
        let mut mounted = Mounted {
            auth_sock: mounts.auth_sock.clone(),
            ..Mounted::default()
        };
        let caches = self.caches(mounts)?;
        mounted.held.caches.clone_from(&caches);
        let mut caches = caches.into_iter();
        let mut secrets = 0;
        for planned in &mounts.planned {
            let span = planned.span;
            let (source, read_only) = match &planned.what {
                What::Context {
                    read_only,
                    copy,
                    keyed,
                    ..
                } => {
                    let layer = self.layer(step, copy, keyed, span)?;
                    let root = self.root(&[layer.into()], &mut mounted)?;
                    let path = PLACE.to_owned();
                    (StepMountSource::Files { root, path }, *read_only)
                }
                What::Stack {
                    source,
                    read_only,
                    layers,
                } => {
                    copy::check_source(&self.request.store, layers, source)
                        .map_err(|source| unready(source, span))?;
                    let root = self.root(layers, &mut mounted)?;
                    let path = source.text.clone();
                    (StepMountSource::Files { root, path }, *read_only)
                }
                What::Cache {
                    source, read_only, ..
                } => {
                    let Some(held) = caches.next() else { continue };
                    let path = held.path().to_owned();
                    let root = RootMount::Bind { path };
                    let path = source.clone();
                    (StepMountSource::Files { root, path }, *read_only)
                }
                What::Tmpfs { size, read_only } => {
                    (StepMountSource::Tmpfs { size: *size }, *read_only)
                }
                What::Secret {
                    id,
                    env,
                    required,
                    access,
                } => {
                    let Some(value) = self.secret(id, *required, span)? else {
                        continue;
                    };
                    if let Some(name) = env {
                        check_text(id, value, span)?;
                        mounted.secret_env.push((name.clone(), value.clone()));
                    }
                    secrets += value.0.len();
                    if secrets > MOST_SECRETS {
                        let (size, most) = (secrets, MOST_SECRETS);
                        return Err(RunMountError::SecretsTooLarge { size, most, span }.into());
                    }
                    let (value, access) = (value.clone(), *access);
                    (StepMountSource::Secret { value, access }, true)
                }
                What::Ssh {
                    id,
                    required,
                    access,
                } => {
                    let Some(socket) = self.request.ssh.get(id) else {
                        if *required {
                            let id = id.clone();
                            return Err(RunMountError::NoAgent { id, span }.into());
                        }
                        continue;
                    };
                    let dir = self.request.store.tmp_dir().map_err(RunMountError::from)?;
                    let source = StepMountSource::Agent {
                        socket: socket.clone(),
                        dir: dir.path().to_owned(),
                        access: *access,
                    };
                    mounted.held.dirs.push(dir);
                    (source, false)
                }
            };
            let Some(target) = planned.target.clone() else {
                continue;
            };
            // Of two at one place the later is seen, as docker has it.
            mounted.mounts.retain(|mount| mount.target != target);
            mounted.mounts.push(StepMount {
                source,
                target,
                read_only,
            });
        }
        Ok(mounted)
    }

    /// The layer of files of the context.
    fn layer(
        &self,
        step: Step<'_>,
        copy: &PlannedCopy<'_>,
        keyed: &Keyed,
        span: Span,
    ) -> Result<Layer, RunError> {
        let store = &self.request.store;
        let found = record::find(store, &keyed.key, &|_| false);
        if let Some(Some(layer)) = found.map_err(RunMountError::from)? {
            return Ok(layer);
        }
        let layer = self.do_copy(step, &[], copy);
        let layer = layer.map_err(|source| unready(source, span))?;
        // Where nothing is copied, an error said so.
        let layer = layer.ok_or(RunError::Cancelled)?;
        self.record(keyed, copy.files(), Some(layer), None)
            .map_err(RunMountError::from)?;
        Ok(layer)
    }

    /// A root file system of these layers, for one mount alone.
    fn root(&self, layers: &[LayerSource], mounted: &mut Mounted) -> Result<RootMount, RunError> {
        let failed = |error| RunMountError::Unpack(Box::new(error));
        let snapshotter = self.backend.snapshotter;
        snapshotter.ensure(layers).map_err(failed)?;
        let stack: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
        let prepared = snapshotter.prepare(&stack).map_err(failed)?;
        let root = prepared.mount().clone();
        mounted.held.roots.push(prepared);
        Ok(root)
    }

    /// The directories of the caches, in the order of the mounts.
    fn caches(&self, mounts: &Mounts<'_>) -> Result<Vec<std::sync::Arc<caches::Held>>, RunError> {
        let (mut wanted, mut seeds) = (Vec::new(), Vec::new());
        for planned in &mounts.planned {
            if let What::Cache { mount, seed, .. } = &planned.what {
                wanted.push(mount.clone());
                seeds.push(seed);
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let store = &self.request.store;
        let fill = |number: usize, dir: &Path| {
            for layer in seeds[number] {
                let tar = store.layer_tar(&layer.blob, &layer.diff_id)?;
                apply(tar, dir, Target::InPlace).map_err(|source| RunMountError::Fill {
                    dir: dir.to_owned(),
                    source,
                })?;
            }
            Ok(())
        };
        let held = CacheMounts::new(store).acquire_all(&wanted, &self.cancel, fill);
        held.map_err(|error| match error {
            RunMountError::CacheMount(caches::CacheMountError::Cancelled { .. }) => {
                RunError::Cancelled
            }
            error => error.into(),
        })
    }

    fn secret(
        &self,
        id: &str,
        required: bool,
        span: Span,
    ) -> Result<Option<&Secret>, RunMountError> {
        let secrets = &self.request.secrets;
        match secrets.get(id) {
            None if required => Err(RunMountError::NoSecret {
                id: id.to_owned(),
                given: secrets.keys().cloned().collect(),
                span,
            }),
            found => Ok(found),
        }
    }
}

/// A cache, and what it begins as.
fn cache<'a>(
    id: String,
    sharing: Sharing,
    from: From,
    access: Access,
    layers: Option<Vec<LayerSource>>,
) -> What<'a> {
    let source = absolute(&format!("/{}", from.source.text));
    // Docker mounts a new directory with these where all would be mounted, and else takes no notice.
    let access = match source.as_str() {
        "/" => access,
        _ => Access::default(),
    };
    let own = access != Access::default();
    let FileAccess { mode, uid, gid } = file_access(access, 0o755);
    let layers = layers.unwrap_or_default();
    What::Cache {
        source,
        read_only: from.read_only,
        mount: CacheMount {
            seed: chain(&layers),
            sharing,
            mode,
            uid,
            gid,
            ..CacheMount::new(id)
        },
        seed: if own { Vec::new() } else { layers },
    }
}

fn file_access(access: Access, mode: u32) -> FileAccess {
    FileAccess {
        // As docker has it: no set-user-ID, and none that are sticky.
        mode: access.mode.unwrap_or(mode) & 0o777,
        uid: access.uid.unwrap_or(0),
        gid: access.gid.unwrap_or(0),
    }
}

fn check_text(id: &str, Secret(value): &Secret, span: Span) -> Result<(), RunMountError> {
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains('\0') => Ok(()),
        _ => Err(RunMountError::NotText {
            id: id.to_owned(),
            span,
        }),
    }
}

fn files(error: CopyError, span: Span) -> BuildError {
    match error {
        CopyError::Cancelled => BuildError::Cancelled,
        error => BuildError::run(span, unready(error, span)),
    }
}

fn unready(error: CopyError, span: Span) -> RunError {
    match error {
        CopyError::Cancelled => RunError::Cancelled,
        error => RunMountError::Files {
            source: Box::new(error),
            span,
        }
        .into(),
    }
}
