//! The Dockerfile language, the plan, the steps and the cache.
#![forbid(unsafe_code)]

pub mod address;
pub mod cache;
pub mod cancel;
mod change;
pub mod check;
mod commit;
pub mod context;
pub mod dockerfile;
mod error;
mod execute;
pub mod executor;
pub mod export;
pub mod glob;
pub mod ignore;
mod leak;
mod lexical;
pub mod plan;
pub mod progress;
pub mod remote;
pub mod request;
mod stage;
pub mod step;
mod wildcard;

pub use change::{ChangeError, change};
pub use error::BuildError;
pub use execute::{Backend, Built, BuiltStep, Material, build};
pub use leak::{LeakError, Place};
pub use request::BuildRequest;
