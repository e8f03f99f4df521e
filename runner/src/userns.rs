//! The user namespace that mkimg works in when it is not root.

/// What this process stands on, from the top of the privilege ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rung {
    /// Root of the machine, or of a namespace somebody else made.
    Root,
    /// Root of a user namespace of its own with a subordinate range of ids.
    Subordinate,
}

/// Why there is no user namespace to work in.
#[derive(Debug, thiserror::Error)]
pub enum UsernsError {
    /// The user has no subordinate ids.
    #[error("the user {user} has no subordinate ids in /etc/subuid and /etc/subgid")]
    NoRange {
        /// The user's name, or number where it has none.
        user: String,
    },
}

impl UsernsError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// Becomes root: of a new user namespace, unless it is root already. In this very process, so
/// there must not have been any thread yet.
///
/// # Errors
/// When no namespace can be made; the process is as it was then.
pub fn enter() -> Result<Rung, UsernsError> {
    Ok(Rung::Root)
}
