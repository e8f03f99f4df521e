//! The digests of the files of a context, so that unchanged ones are not read again.
