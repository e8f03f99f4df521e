//! Triggers: what `ONBUILD` of a base leaves to the stages on it. They become the first instructions of the
//! stage.

use super::{Base, FileSource, PlanError};
use crate::dockerfile::{Command, Dockerfile, Instruction, Stage, parse_trigger};

/// Puts the triggers of stages into the stages on them.
pub(super) fn follow_stages(dockerfile: &mut Dockerfile, bases: &[Base]) -> Result<(), PlanError> {
    for (number, (base, _)) in bases.iter().enumerate() {
        let FileSource::Stage(below) = base else {
            continue;
        };
        if !dockerfile.stages[number].triggers.is_empty() {
            continue;
        }
        let below = dockerfile.stages[*below].instructions.iter();
        let triggers = below.filter_map(|instruction| match &instruction.command {
            Command::Onbuild(trigger) => Some(trigger.text.clone()),
            _ => None,
        });
        let triggers: Vec<String> = triggers.collect();
        follow(&mut dockerfile.stages[number], &triggers)?;
    }
    Ok(())
}

/// Puts the triggers of its base into a stage.
///
/// # Errors
/// When one is no instruction that a trigger can be.
pub(crate) fn follow(stage: &mut Stage, triggers: &[String]) -> Result<(), PlanError> {
    let mut instructions: Vec<Instruction> = Vec::with_capacity(triggers.len());
    for (at, text) in triggers.iter().enumerate() {
        stage.triggers.push(text.clone());
        let parsed = parse_trigger(text, stage.span);
        instructions.push(parsed.map_err(|error| wrap(stage, at, error.into()))?);
    }
    stage.instructions.splice(0..0, instructions);
    Ok(())
}

/// An error of an instruction, and that it is a trigger if it is one.
pub(super) fn wrap(stage: &Stage, at: usize, error: PlanError) -> PlanError {
    match stage.triggers.get(at) {
        None => error,
        Some(trigger) => PlanError::Trigger {
            trigger: trigger.clone(),
            of: stage.base.text.clone(),
            span: stage.span,
            source: Box::new(error),
        },
    }
}
