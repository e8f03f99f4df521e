//! A directory that resolves paths inside itself: the only way to touch a path in a root file system.
