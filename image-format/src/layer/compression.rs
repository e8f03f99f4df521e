//! The compressions that layers and archives come in, told by their first bytes.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

/// zstd's default bound is 128 MiB of window; a layer that wants more memory than this is refused.
const LARGEST_ZSTD_WINDOW_LOG: u32 = 25;
/// In KiB: what `xz -9` needs to be undone, and a little.
const LARGEST_XZ_MEMORY: u32 = 66 << 10;
const BUFFER: usize = 128 << 10;

/// How something is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// What `bzip2` writes.
    Bzip2,
    /// What `xz` writes.
    Xz,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// As many bytes tell what it is.
    pub const MAGIC: usize = 6;

    /// The compression of what begins so; `None` where it is none of these.
    #[must_use]
    pub fn of(magic: &[u8]) -> Option<Self> {
        match magic {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // The second is a frame to be skipped, which may come first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Reads what is compressed so, within some tens of MiB of memory.
    ///
    /// # Errors
    /// When the decoder cannot be made.
    pub fn reader(self, input: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(input)),
            Self::Bzip2 => Box::new(MultiBzDecoder::new(input)),
            Self::Xz => Box::new(XzReader::new_mem_limit(input, true, LARGEST_XZ_MEMORY)),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(LARGEST_ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}

/// Reads a layer as plain tar, whether it is in gzip, bzip2, xz, zstd or plain.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn decompress<R: Read + Send + 'static>(blob: R) -> io::Result<Box<dyn Read + Send>> {
    let mut blob = BufReader::with_capacity(BUFFER, blob);
    let mut magic = Vec::with_capacity(Compression::MAGIC);
    io::Read::by_ref(&mut blob)
        .take(Compression::MAGIC as u64)
        .read_to_end(&mut magic)?;
    let compression = Compression::of(&magic);
    let whole = BufReader::with_capacity(BUFFER, io::Cursor::new(magic).chain(blob));
    match compression {
        Some(compression) => compression.reader(whole),
        None => Ok(Box::new(whole)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lzma_rust2::{XzOptions, XzWriter};

    use super::*;

    const ALL: [Option<Compression>; 5] = [
        None,
        Some(Compression::Gzip),
        Some(Compression::Bzip2),
        Some(Compression::Xz),
        Some(Compression::Zstd),
    ];

    fn compressed(compression: Option<Compression>, data: &[u8]) -> Vec<u8> {
        match compression {
            None => data.to_vec(),
            Some(Compression::Gzip) => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                out.write_all(data).unwrap();
                out.finish().unwrap()
            }
            Some(Compression::Bzip2) => {
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), Default::default());
                out.write_all(data).unwrap();
                out.finish().unwrap()
            }
            Some(Compression::Xz) => xz(data, 6, None),
            Some(Compression::Zstd) => zstd::encode_all(data, 3).unwrap(),
        }
    }

    fn xz(data: &[u8], preset: u32, dictionary: Option<u32>) -> Vec<u8> {
        let mut options = XzOptions::with_preset(preset);
        if let Some(size) = dictionary {
            options.lzma_options.dict_size = size;
        }
        let mut out = XzWriter::new(Vec::new(), options).unwrap();
        out.write_all(data).unwrap();
        out.finish().unwrap()
    }

    fn read(data: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(io::Cursor::new(data))?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn data() -> Vec<u8> {
        let numbers = (0..50_000_u32).map(|n| n.wrapping_mul(n));
        numbers.flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn every_compression_is_undone_with_all_its_members() {
        let data = data();
        for compression in ALL {
            let one = compressed(compression, &data);
            assert_eq!(Compression::of(&one), compression);
            let two = [one.as_slice(), &one].concat();
            assert!(read(two).unwrap() == [data.as_slice(), &data].concat());
        }
    }

    #[test]
    fn what_is_cut_off_or_wants_too_much_memory_is_an_error() {
        let data = data();
        for compression in &ALL[1..] {
            let mut one = compressed(*compression, &data);
            one.truncate(one.len() / 2);
            assert!(read(one).is_err(), "{compression:?}");
        }
        assert!(read(xz(&data, 9, None)).unwrap() == data);
        assert!(read(xz(&data, 6, Some(256 << 20))).is_err());
    }
}
