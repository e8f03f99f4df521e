//! The Dockerfile language, the plan, the steps and the cache.
#![forbid(unsafe_code)]

pub mod dockerfile;
pub mod glob;
pub mod ignore;
