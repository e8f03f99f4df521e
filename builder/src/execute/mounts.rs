//! What the mounts of a `RUN` show: found for its key, and made ready when it must be run.
