//! The Dockerfile language, the plan, the steps and the cache.
#![forbid(unsafe_code)]
