//! Why an archive cannot be read.

use std::io;

/// Why an archive cannot be read. Names are those in the archive, with what cannot be shown escaped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed.
    #[error("cannot read the layer (after {after:?})")]
    Io {
        /// The entry last seen.
        after: String,
        /// Why.
        source: io::Error,
    },
    /// The archive ends within an entry.
    #[error("{name}: the layer is cut off here, at byte {offset}")]
    Truncated {
        /// The entry last seen.
        name: String,
        /// Bytes from the start.
        offset: u64,
    },
    /// No header, or a damaged one.
    #[error("byte {offset} of the layer is not the start of a tar entry: its checksum is wrong")]
    Checksum {
        /// Bytes from the start.
        offset: u64,
    },
    /// A block of zeros, as at the end, and then something else.
    #[error("the layer goes on at byte {offset}, after its end mark")]
    AfterTheEnd {
        /// Bytes from the start.
        offset: u64,
    },
    /// More than 1 MiB, or more than 16 headers, of records before one entry.
    #[error("the entry at byte {offset} has too much metadata: 1 MiB in 16 headers is the most")]
    TooMuchMetadata {
        /// Bytes from the start.
        offset: u64,
    },
    /// A number is malformed or too large.
    #[error("{name}: its {field} is no number, or too large")]
    Field {
        /// The entry.
        name: String,
        /// The header's field, or the key of the PAX record.
        field: &'static str,
    },
    /// A PAX record is malformed.
    #[error("{name}: a PAX record is malformed")]
    Record {
        /// The entry, or the header of the records.
        name: String,
    },
    /// A global PAX record that would change all entries after it.
    #[error("{name}: the global record {key:?} is not supported in a layer")]
    Global {
        /// The header of the records.
        name: String,
        /// The record's key.
        key: String,
    },
    /// The name leads out of the image.
    #[error("{name}: leads out of the image")]
    Outside {
        /// The entry.
        name: String,
    },
    /// The target of a hard link leads out of the image.
    #[error("{name}: links to {target}, which is out of the image")]
    LinkOutside {
        /// The entry.
        name: String,
        /// The link's target.
        target: String,
    },
    /// An entry of a kind that no layer holds.
    #[error("{name}: its tar entry type {flag:?} is not supported in a layer")]
    Type {
        /// The entry.
        name: String,
        /// The type flag.
        flag: char,
    },
    /// The map of a sparse file does not fit its size or its data.
    #[error("{name}: the map of the sparse file is wrong, or has more than 100000 pieces")]
    SparseMap {
        /// The entry.
        name: String,
    },
}
