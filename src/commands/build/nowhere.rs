//! A machine on which no command can be run.

use std::sync::Arc;

use builder::cancel::Cancel;
use builder::executor::{Executor, ExecutorError, Ran, RunStep};
use builder::progress::Output;
use runner::userns::UsernsError;

/// Refuses every command with the reason why there is no namespace.
pub struct Nowhere(pub Arc<UsernsError>);

impl Executor for Nowhere {
    fn ready(&self) -> Result<(), ExecutorError> {
        Err(ExecutorError::NoNamespace(Arc::clone(&self.0)))
    }

    fn run(
        &self,
        _: &RunStep,
        _: &Cancel,
        _: &mut dyn FnMut(Output, &[u8]),
    ) -> Result<Ran, ExecutorError> {
        Err(ExecutorError::NoNamespace(Arc::clone(&self.0)))
    }
}
