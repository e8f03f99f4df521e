//! What holds for all layers.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

/// Bytes of which names and targets are made.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(b'a'),
        Just(b'-'),
        Just(b'\n'),
        Just(0xff_u8),
        Just(b'.')
    ];
    vec(byte, 1..4).prop_filter("a name", |name| !matches!(name.as_slice(), b"." | b".."))
}

fn meta() -> impl Strategy<Value = Meta> {
    let xattrs = btree_map("user\\.[a-z.]{1,3}", vec(any::<u8>(), 0..40), 0..3);
    let id = prop_oneof![0..100_u32, any::<u32>()];
    let id = id.prop_map(|id| id.min(u32::MAX - 1));
    // ext4 has 34 bits of seconds, from 1901 on; nothing is after the epoch.
    let secs = -1_000_000_000..=Timestamp::DEFAULT_EPOCH.secs - 1;
    (
        0..0o10000_u32,
        id.clone(),
        id,
        secs,
        0..1_000_000_000_u32,
        xattrs,
    )
        .prop_map(|(mode, uid, gid, secs, nanos, xattrs)| Meta {
            mode,
            uid,
            gid,
            mtime: Timestamp { secs, nanos },
            xattrs: xattrs
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        })
}

fn kind() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    prop_oneof![
        3 => Just((Kind::Dir, Vec::new())),
        3 => vec(any::<u8>(), 0..600).prop_map(|content| {
            let size = content.len() as u64;
            (Kind::File { size }, content)
        }),
        1 => vec(1..=255_u8, 1..120).prop_map(|target| (Kind::Symlink(target), Vec::new())),
        1 => (0..4096_u32, 1..1_048_576_u32)
            .prop_map(|(major, minor)| (Kind::Char(major, minor), Vec::new())),
        1 => (0..4096_u32, 0..1_048_576_u32)
            .prop_map(|(major, minor)| (Kind::Block(major, minor), Vec::new())),
        1 => Just((Kind::Fifo, Vec::new())),
    ]
}

/// A tree: each entry in a directory that an earlier one made, or in the root.
fn entries() -> impl Strategy<Value = Vec<(Entry, Vec<u8>)>> {
    vec(
        (any::<proptest::sample::Index>(), name(), kind(), meta()),
        0..20,
    )
    .prop_map(|drawn| {
        let mut dirs = vec![Vec::new()];
        let mut all: BTreeMap<Vec<u8>, (Entry, Vec<u8>)> = BTreeMap::new();
        for (dir, name, (kind, content), mut meta) in drawn {
            let mut path = dirs[dir.index(dirs.len())].clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            if all.contains_key(&path) {
                continue;
            }
            match kind {
                Kind::Dir => dirs.push(path.clone()),
                Kind::File { .. } => {}
                _ => meta.xattrs.clear(),
            }
            if let Kind::Symlink(_) = kind {
                meta.mode = 0o777;
            }
            let entry = Entry {
                path: OsStr::from_bytes(&path).into(),
                kind,
                meta,
            };
            all.insert(path, (entry, content));
        }
        all.into_values().collect()
    })
}

/// A step of a layer over few names, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    File(String),
    Dir(String),
    Symlink(String, String),
    Link(String, String),
    Whiteout(String),
    Opaque(String),
}

fn step() -> impl Strategy<Value = Step> {
    let path = || "[abc](/[abc]){0,2}";
    let target = "(/|\\.\\./)?[abc](/[abc])?";
    prop_oneof![
        4 => path().prop_map(Step::File),
        3 => path().prop_map(Step::Dir),
        1 => (path(), target).prop_map(|(path, target)| Step::Symlink(path, target)),
        1 => (path(), path()).prop_map(|(path, target)| Step::Link(path, target)),
        2 => "([abc]/){0,2}\\.wh\\.[abc]".prop_map(Step::Whiteout),
        1 => "([abc]/){0,2}\\.wh\\.\\.wh\\.\\.opq".prop_map(Step::Opaque),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_is_what_is_unpacked(mut entries in entries()) {
        entries.sort_by(|(a, _), (b, _)| crate::layer::entry::path_order(
            a.path.as_os_str().as_bytes(),
            b.path.as_os_str().as_bytes(),
        ));
        let mut writer = LayerWriter::new(Vec::new(), Timestamp::DEFAULT_EPOCH);
        for (entry, content) in &entries {
            writer.append(entry, content.as_slice()).unwrap();
        }
        let tar = writer.finish().unwrap();
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("root");
        new_root(&dir);
        apply(tar.as_slice(), &dir, Target::InPlace).unwrap();
        let mut seen = look(&dir);
        let tree = Tree::new(vec![LayerIndex::read(tar.as_slice()).unwrap()]).unwrap();
        assert_same(&seen, &look_at_tree(&tree, &[tar]), "unpacked", "listed");
        seen.remove(Path::new(""));
        prop_assert_eq!(seen.len(), entries.len());
        for (entry, content) in entries {
            let there = &seen[&entry.path];
            prop_assert_eq!(&there.kind, &entry.kind);
            prop_assert_eq!(&there.meta, &entry.meta);
            prop_assert_eq!(&there.content, &content);
        }
    }

    #[test]
    fn every_form_of_every_stack_is_the_same(layers in vec(vec(step(), 0..12), 1..4)) {
        let mut number = 0;
        let tars: Vec<_> = layers.iter().map(|steps| {
            let tar = steps.iter().fold(Tar::new(), |tar, step| {
                number += 1;
                match step {
                    Step::File(path) => tar.file(path, &format!("content {number}")),
                    Step::Dir(path) => {
                        let mut meta = with_mode(0o700);
                        meta.uid = number;
                        tar.add(path.as_bytes(), Kind::Dir, meta, b"")
                    }
                    Step::Symlink(path, target) => tar.symlink(path, target),
                    Step::Link(path, target) => tar.link(path, target),
                    Step::Whiteout(path) | Step::Opaque(path) => tar.marker(path),
                }
            });
            tar.end()
        }).collect();
        for xattrs in [XattrNamespace::Trusted, XattrNamespace::User] {
            if let Ok(stack) = Stack::new(tars.clone(), xattrs) {
                stack.agreed();
            }
        }
    }
}
