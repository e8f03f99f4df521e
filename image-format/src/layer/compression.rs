//! The compressions that layers come in, told by their first bytes.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

/// zstd's default bound is 128 MiB of window; a layer that wants more memory than this is refused.
const LARGEST_ZSTD_WINDOW_LOG: u32 = 25;

/// Reads a layer as plain tar, whether it is in gzip, in zstd or plain.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn decompress<R: Read + Send + 'static>(blob: R) -> io::Result<Box<dyn Read + Send>> {
    let mut blob = io::BufReader::with_capacity(128 << 10, blob);
    let mut magic = Vec::with_capacity(4);
    io::Read::by_ref(&mut blob)
        .take(4)
        .read_to_end(&mut magic)?;
    let whole = io::BufReader::with_capacity(128 << 10, io::Cursor::new(magic.clone()).chain(blob));
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = zstd::Decoder::with_buffer(whole)?;
            decoder.window_log_max(LARGEST_ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        _ => Box::new(whole),
    })
}
