use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::layer::LayerWriter;

fn written(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = LayerWriter::new(Vec::new(), Timestamp::DEFAULT_EPOCH);
    for (entry, data) in entries {
        writer.append(entry, *data).unwrap();
    }
    writer.finish().unwrap()
}

fn read(tar: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, ReadError> {
    let mut reader = LayerReader::new(tar);
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut data = Vec::new();
        reader.read_to_end(&mut data).unwrap();
        all.push((entry, data));
    }
    Ok(all)
}

fn file(path: &[u8], size: u64) -> Entry {
    Entry {
        path: OsStr::from_bytes(path).into(),
        kind: Kind::File { size },
        meta: Meta::default(),
    }
}

#[test]
fn reads_what_the_writer_writes() {
    let long = [b"d/".as_slice(), &[0xff; 255], b"/", &[b'n'; 255]].concat();
    let mut odd = file(&long, 3);
    odd.meta = Meta {
        mode: 0o6755,
        uid: u32::MAX - 1,
        gid: 3_000_000,
        mtime: Timestamp {
            secs: -2,
            nanos: 500_000_000,
        },
        xattrs: [("security.capability".into(), b"\n\0=\xff".to_vec())].into(),
    };
    let kinds = [
        Kind::Dir,
        Kind::Symlink(vec![b'/'; 4000]),
        Kind::Hardlink(Path::new("d").join("x".repeat(200))),
        Kind::Char(4095, 1_048_575),
        Kind::Block(0, 1),
        Kind::Fifo,
    ];
    let mut entries: Vec<(Entry, &[u8])> = vec![(odd, b"abc")];
    for (number, kind) in kinds.into_iter().enumerate() {
        let mut entry = file(format!("e{number}").as_bytes(), 0);
        if let Kind::Symlink(_) = kind {
            entry.meta.mode = 0o777;
        }
        entry.kind = kind;
        entries.push((entry, b""));
    }
    let read = read(&written(&entries)).unwrap();
    let read: Vec<_> = read
        .iter()
        .map(|(e, d)| (e.clone(), d.as_slice()))
        .collect();
    assert_eq!(read, entries);
}

#[test]
fn an_entry_can_be_read_again_where_it_starts() {
    let tar = written(&[(file(b"a", 2), b"aa"), (file(&[b'b'; 300], 2), b"bb")]);
    let mut reader = LayerReader::new(tar.as_slice());
    reader.next_entry().unwrap();
    let second = reader.next_entry().unwrap();
    let data = reader.data_offset() as usize;
    assert_eq!(&tar[data..data + 2], b"bb");
    let mut again = LayerReader::new(&tar[reader.header_offset() as usize..]);
    assert_eq!(again.next_entry().unwrap(), second);
}

#[test]
fn reads_every_sparse_format_of_gnu_tar() {
    let dir = tempfile::tempdir().unwrap();
    let sparse = std::fs::File::create(dir.path().join("s")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    for piece in 0..30_u64 {
        sparse.write_all_at(b"data", piece * 65_536 + 5).unwrap();
    }
    let content = std::fs::read(dir.path().join("s")).unwrap();
    for format in [
        "--format=gnu",
        "--sparse-version=0.0",
        "--sparse-version=0.1",
        "--sparse-version=1.0",
    ] {
        let mut tar = Command::new("tar");
        tar.args(["-cS", format]).current_dir(dir.path());
        if format != "--format=gnu" {
            tar.arg("--format=pax");
        }
        let tar = tar.args(["-f", "-", "s"]).output().unwrap().stdout;
        assert!(tar.len() < 1 << 20, "{format}: not sparse");
        let read = read(&tar).unwrap();
        assert_eq!(read.len(), 1, "{format}");
        assert_eq!(read[0].0.path, Path::new("s"), "{format}");
        assert!(read[0].1 == content, "{format}: other content");
    }
}

#[test]
fn refuses_paths_that_lead_out() {
    for (name, link) in [("../x", None), ("a/../../x", None), ("x", Some("../y"))] {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Regular);
        if let Some(link) = link {
            header.set_entry_type(tar::EntryType::Link);
            header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        let error = read(header.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn refuses_sizes_that_lie_and_endless_headers() {
    let whole = written(&[(file(b"a", 2000), &[1; 2000])]);
    let mut short = LayerReader::new(&whole[..1024]);
    short.next_entry().unwrap();
    assert!(matches!(
        short.next_entry(),
        Err(ReadError::Truncated { .. })
    ));

    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_mode(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(1 << 40);
    header.set_cksum();
    assert!(matches!(
        read(header.as_bytes()),
        Err(ReadError::TooMuchMetadata { .. })
    ));
    header.set_size(0);
    header.set_cksum();
    let mut endless = Vec::new();
    for _ in 0..100 {
        endless.write_all(header.as_bytes()).unwrap();
    }
    assert!(matches!(
        read(&endless),
        Err(ReadError::TooMuchMetadata { .. })
    ));
}

#[test]
fn reads_on_after_an_old_directory_with_content_and_after_global_records() {
    let mut old = tar::Header::new_old();
    old.as_mut_bytes()[..2].copy_from_slice(b"d/");
    old.as_mut_bytes()[field::TYPE] = 0;
    old.set_mode(0o755);
    old.set_uid(0);
    old.set_gid(0);
    old.set_mtime(0);
    old.set_size(700);
    old.set_cksum();
    let mut global = tar::Header::new_ustar();
    global.set_entry_type(tar::EntryType::XGlobalHeader);
    global.set_mode(0);
    global.set_uid(0);
    global.set_gid(0);
    global.set_mtime(0);
    global.set_size(18);
    global.set_cksum();
    let mut records = b"18 comment=a note\n".to_vec();
    assert_eq!(records.len(), 18);
    records.resize(512, 0);
    let mut tar = [old.as_bytes().as_slice(), &[b'x'; 1024]].concat();
    tar.extend_from_slice(&written(&[(file(b"f", 0), b"")])[..512]);
    tar.extend_from_slice(global.as_bytes());
    tar.extend_from_slice(&records);
    let paths = read(&tar).unwrap().into_iter().map(|(entry, _)| entry.path);
    assert_eq!(paths.collect::<Vec<_>>(), [Path::new("d"), Path::new("f")]);
}

#[test]
fn refuses_the_id_that_system_calls_take_for_none() {
    let mut entry = file(b"f", 0);
    entry.meta.gid = u32::MAX;
    let error = read(&written(&[(entry, b"")])).unwrap_err().to_string();
    assert_eq!(error, "f: its gid is no number, or too large");
}
