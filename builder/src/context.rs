//! The build context: the directory that `COPY` copies from, without what its ignore file leaves out.
