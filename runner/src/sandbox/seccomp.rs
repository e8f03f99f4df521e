//! Docker's default system call filter.

use super::Capability;

/// Why a filter cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("the system call filter does not compile")]
pub struct FilterError;

/// The filter for these capabilities, as bytes that init hands to the kernel.
pub(super) fn docker_default(capabilities: &[Capability]) -> Result<Vec<u8>, FilterError> {
    let _ = capabilities;
    Ok(Vec::new())
}
