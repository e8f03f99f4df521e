//! mkimg builds container images from a Dockerfile and runs them.
fn main() {}
