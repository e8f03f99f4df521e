//! Stages side by side: each as soon as those it needs are built.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::follow::Build;
use crate::error::BuildError;
use crate::stage::StageState;

/// Builds all stages of the plan, and hands over the target. The first that fails ends the others.
pub(super) fn run(build: &Build<'_>) -> Result<StageState, BuildError> {
    let stages = build.plan.stages.len();
    let schedule = Schedule {
        built: (0..stages).map(|_| OnceLock::new()).collect(),
        open: Mutex::new(Open {
            waiting: (0..stages).collect(),
            failed: None,
        }),
        changed: Condvar::new(),
    };
    let jobs = build.request.jobs.min(most_at_once(build));
    std::thread::scope(|scope| {
        for _ in 1..jobs.get() {
            scope.spawn(|| schedule.work(build));
        }
        schedule.work(build);
    });
    let open = schedule.open.into_inner();
    if let Some(error) = open.unwrap_or_else(PoisonError::into_inner).failed {
        return Err(error);
    }
    // Every stage is built where none failed.
    let target = schedule.built.into_iter().next_back();
    target
        .and_then(OnceLock::into_inner)
        .ok_or(BuildError::Cancelled)
}

/// A stage that needs the one before it never runs beside it.
fn most_at_once(build: &Build<'_>) -> NonZeroUsize {
    let stages = 1..build.plan.stages.len();
    let beside = stages.filter(|place| !build.plan.needs(*place).any(|other| other + 1 == *place));
    NonZeroUsize::MIN.saturating_add(beside.count())
}

struct Schedule {
    /// What is built, by place in the plan.
    built: Vec<OnceLock<StageState>>,
    open: Mutex<Open>,
    changed: Condvar,
}

struct Open {
    /// Stages that nobody has begun.
    waiting: BTreeSet<usize>,
    /// The first error: those that follow come of the end it brought.
    failed: Option<BuildError>,
}

impl Schedule {
    fn work(&self, build: &Build<'_>) {
        // Or the others would wait for ever for a thread that panicked.
        let _guard = EndOnPanic(self, build);
        while let Some(place) = self.next(build) {
            let result = build.stage(place, &self.built);
            let mut open = self.lock();
            match result {
                // Each place is taken once.
                Ok(state) => drop(self.built[place].set(state)),
                Err(error) => {
                    open.failed.get_or_insert(error);
                    build.cancel.cancel();
                }
            }
            self.changed.notify_all();
        }
    }

    /// The first stage whose needs are built; waits for one, and gives none when there is nothing
    /// more to begin.
    fn next(&self, build: &Build<'_>) -> Option<usize> {
        let mut open = self.lock();
        loop {
            if open.failed.is_some() || open.waiting.is_empty() {
                return None;
            }
            let ready = |place: &&usize| {
                let mut needs = build.plan.needs(**place);
                needs.all(|other| self.built[other].get().is_some())
            };
            if let Some(place) = open.waiting.iter().find(ready).copied() {
                open.waiting.remove(&place);
                return Some(place);
            }
            let waited = self.changed.wait(open);
            open = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct EndOnPanic<'a>(&'a Schedule, &'a Build<'a>);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.1.cancel.cancel();
            self.0.lock().failed.get_or_insert(BuildError::Cancelled);
            self.0.changed.notify_all();
        }
    }
}
