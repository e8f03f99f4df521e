//! What an ELF file says it needs.
//!
//! Source: System V ABI, "Program Loading and Dynamic Linking". Only program headers are read: they
//! are what the kernel and the loader go by, and section headers may be stripped.

use std::ffi::OsString;
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{Error, FileKind, ReadCache, ReadRef, StringTable};
use object::{Endian, Endianness};

/// A dynamic section of a sound file has some dozens of entries of 16 bytes.
const LARGEST_DYNAMIC: u64 = 1 << 20;
/// As Linux: an interpreter's path is at most this long.
const LONGEST_INTERPRETER: u64 = 4096;

/// The dynamic linking of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// What machine code it holds: libraries must hold the same.
    pub abi: Abi,
    /// The loader that the kernel starts: an absolute path. None for libraries and static programs.
    pub interpreter: Option<PathBuf>,
    /// The libraries, by name, or by path if there is a `/`.
    pub libraries: Vec<OsString>,
    /// `DT_RPATH`: directories to look in, also for the libraries' own needs; `:` between.
    pub rpath: Option<OsString>,
    /// `DT_RUNPATH`: directories to look in, for this file's needs alone; `:` between.
    pub runpath: Option<OsString>,
    /// Whether only the directories above count (`DF_1_NODEFLIB`).
    pub no_default_directories: bool,
}

/// Word size, byte order and processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Abi {
    is_64: bool,
    is_big_endian: bool,
    machine: u16,
}

impl Abi {
    /// Debian's name for it, which is in the names of its library directories.
    pub(super) fn triplet(self) -> Option<&'static str> {
        Some(match (elf::Machine(self.machine), self.is_64) {
            (elf::EM_X86_64, true) => "x86_64-linux-gnu",
            (elf::EM_386, false) => "i386-linux-gnu",
            (elf::EM_AARCH64, true) => "aarch64-linux-gnu",
            (elf::EM_ARM, false) => "arm-linux-gnueabihf",
            (elf::EM_RISCV, true) => "riscv64-linux-gnu",
            (elf::EM_PPC64, true) => "powerpc64le-linux-gnu",
            (elf::EM_S390, true) => "s390x-linux-gnu",
            _ => return None,
        })
    }

    /// What `$PLATFORM` stands for.
    pub(super) fn platform(self) -> &'static str {
        let triplet = self.triplet().unwrap_or_default();
        triplet.split('-').next().unwrap_or_default()
    }
}

/// Reads what a file needs; `None` if it is not an ELF file.
pub(super) fn needs(file: impl Read + Seek) -> Result<Option<Needs>, Error> {
    let cache = ReadCache::new(file);
    match FileKind::parse(&cache) {
        Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>, _>(&cache).map(Some),
        Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>, _>(&cache).map(Some),
        _ => Ok(None),
    }
}

fn read<'data, H, R>(data: R) -> Result<Needs, Error>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let mut needs = Needs {
        abi: Abi {
            is_64: header.is_class_64(),
            is_big_endian: endian.is_big_endian(),
            machine: header.e_machine(endian).0,
        },
        ..Needs::default()
    };
    let mut dynamic: &[H::Dyn] = &[];
    for segment in segments {
        let size: u64 = segment.p_filesz(endian).into();
        if segment.p_type(endian) == elf::PT_INTERP && size <= LONGEST_INTERPRETER {
            let path = segment.interpreter(endian, data)?;
            needs.interpreter = path.map(|path| OsString::from_vec(path.to_vec()).into());
        } else if segment.p_type(endian) == elf::PT_DYNAMIC && size <= LARGEST_DYNAMIC {
            dynamic = segment.dynamic(endian, data)?.unwrap_or_default();
        }
    }
    let entries = dynamic
        .iter()
        .map(|entry| (entry.d_tag(endian), entry.d_val(endian).into()))
        .take_while(|(tag, _)| *tag != elf::DT_NULL);
    let entries: Vec<(elf::DynamicTag, u64)> = entries.collect();
    let value = |wanted| {
        let mut found = entries.iter().filter(|(tag, _)| *tag == wanted);
        found.next().map(|(_, value)| *value)
    };
    let Some(address) = value(elf::DT_STRTAB) else {
        return Ok(needs);
    };
    let start = offset_of::<H>(segments, endian, address);
    let end = start.saturating_add(value(elf::DT_STRSZ).unwrap_or(0));
    let strings = StringTable::new(data, start, end);
    let string = |offset: u64| -> Option<OsString> {
        let text = strings.get(u32::try_from(offset).ok()?).ok()?;
        Some(OsString::from_vec(text.to_vec()))
    };
    for (tag, value) in &entries {
        match *tag {
            elf::DT_NEEDED => needs.libraries.extend(string(*value)),
            elf::DT_RPATH => needs.rpath = string(*value),
            elf::DT_RUNPATH => needs.runpath = string(*value),
            elf::DT_FLAGS_1 => {
                needs.no_default_directories = value & elf::DF_1_NODEFLIB.0 != 0;
            }
            _ => {}
        }
    }
    Ok(needs)
}

/// Where in the file the byte lies that is loaded at this address.
fn offset_of<H>(segments: &[H::ProgramHeader], endian: Endianness, address: u64) -> u64
where
    H: FileHeader<Endian = Endianness>,
{
    let holds = |segment: &&H::ProgramHeader| {
        let start: u64 = segment.p_vaddr(endian).into();
        let size: u64 = segment.p_filesz(endian).into();
        segment.p_type(endian) == elf::PT_LOAD && address.wrapping_sub(start) < size
    };
    segments.iter().find(holds).map_or(address, |segment| {
        let (start, offset): (u64, u64) = (
            segment.p_vaddr(endian).into(),
            segment.p_offset(endian).into(),
        );
        address.wrapping_sub(start).wrapping_add(offset)
    })
}
