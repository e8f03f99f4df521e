//! What is wrong with a mount.

use super::Kind;

/// What is wrong with a mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// A quote inside of an option, or one that is not closed.
    #[error("the options of a mount are not well-formed: {reason}")]
    Quotes {
        /// What is wrong.
        reason: &'static str,
    },
    /// No option has this name.
    #[error("a mount has no option `{name}`")]
    UnknownOption {
        /// What was written.
        name: String,
    },
    /// An option that needs a value.
    #[error("the option `{name}` of a mount needs a value")]
    NoValue {
        /// The option.
        name: String,
    },
    /// A value that is none for this option.
    #[error("`{name}` of a mount is {takes}, not `{value}`")]
    BadValue {
        /// The option.
        name: String,
        /// What it takes.
        takes: &'static str,
        /// What was given.
        value: String,
    },
    /// An option of another type of mounts.
    #[error("a mount of type {kind} takes no `{name}`")]
    NotOfType {
        /// The option.
        name: String,
        /// The type.
        kind: Kind,
    },
    /// A variable in `from`: the stages must be known before any of them is built.
    #[error("`from` of a mount takes no variables")]
    VariableInFrom,
    /// A secret without a name.
    #[error("a mount of type secret needs an `id`")]
    NamelessSecret,
    /// A secret with two names.
    #[error("a mount of type secret takes `id` or `source`, not both")]
    TwoNames,
    /// A mount over all that there is.
    #[error("the target of a mount cannot be /")]
    Root,
}
