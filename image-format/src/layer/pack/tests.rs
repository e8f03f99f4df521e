use super::*;
use crate::layer::apply::{Target, apply};
use crate::layer::diff::diff;
use crate::layer::observe::{Look, commands, shell, tree};
use crate::layer::read::LayerReader;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// No time in a test is after it.
const NEVER: Timestamp = Timestamp::from_secs(1 << 32);
const ALL: Look = Look {
    all: true,
    epoch: i64::MAX,
};
const EPOCH: Timestamp = Timestamp::DEFAULT_EPOCH;

/// The entries of a layer, one a line: type, mode, owner, path, what else there is.
fn listing(tar: &[u8]) -> Vec<String> {
    use crate::layer::entry::Kind;
    let mut reader = LayerReader::new(tar);
    let mut lines = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut line = format!(
            "{:o} {}:{} /{}",
            entry.meta.mode,
            entry.meta.uid,
            entry.meta.gid,
            entry.path.display()
        );
        match &entry.kind {
            Kind::File { .. } => {
                let mut text = String::new();
                std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
                line = format!("f {line} {text:?}");
            }
            Kind::Dir => line = format!("d {line}"),
            Kind::Symlink(to) => line = format!("l {line} {}", String::from_utf8_lossy(to)),
            Kind::Hardlink(to) => line = format!("h {line} {}", to.display()),
            Kind::Char(major, minor) => line = format!("c {line} {major},{minor}"),
            Kind::Block(major, minor) => line = format!("b {line} {major},{minor}"),
            Kind::Fifo => line = format!("p {line}"),
        }
        for (name, value) in &entry.meta.xattrs {
            line += &format!(" {}={}", name.display(), value.escape_ascii());
        }
        assert!(entry.meta.mtime <= EPOCH, "{line}");
        lines.push(line);
    }
    lines
}

/// Two layers, and what `script` makes of them as `root` of an overlay.
struct Stack(tempfile::TempDir);

impl Stack {
    fn new(low: &str, high: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        shell(
            dir.path(),
            &format!(
                "mkdir low high upper work root; touch -d 2001-01-01 low high upper
                 (cd low; {low}); (cd high; {high}); touch -d 2001-01-01 low high upper"
            ),
        );
        Self(dir)
    }

    fn run(&self, script: &str) -> &Self {
        let options =
            "lowerdir=high:low,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off";
        shell(
            self.0.path(),
            &format!("mount -t overlay overlay -o {options} root; cd root; {script}"),
        );
        self
    }

    fn pack(&self) -> Option<Vec<String>> {
        let lowers = ["high", "low"].map(|name| self.0.path().join(name));
        let tar = pack_upper(
            &self.0.path().join("upper"),
            &lowers,
            XattrNamespace::Trusted,
            Vec::new(),
            EPOCH,
        );
        tar.unwrap().map(|tar| listing(&tar))
    }

    fn left(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path().join("upper"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn what_changes_nothing_is_no_layer() {
    let stack = Stack::new(
        "mkdir -p etc/deep; echo x > etc/file; ln etc/file etc/other; ln -s x etc/link; touch -d 2020-01-01 etc",
        ":",
    );
    stack.run(
        "touch -a etc/file; chmod 644 etc/file; chown -h 0:0 etc/link; echo x > etc/file
         touch etc/deep/new; rm etc/deep/new; touch new; rm new",
    );
    assert_eq!(stack.left(), ["etc"]);
    assert_eq!(stack.pack(), None);
    assert_eq!(stack.left(), [""; 0]);
}

#[test]
fn a_layer_is_what_differs() {
    let stack = Stack::new(
        "mkdir -p a/b gone full/of again file.d; echo x | tee a/b/f a/b/g full/f full/of/f again/f gone/f > file
         touch -d 2000-01-01 a/b a",
        "mkdir -p a full; echo y > a/high; rm -f full/of/f; mknod -m 0 full/of c 0 0",
    );
    stack.run(
        "echo xx > a/b/f; echo x > a/b/g; rm -r gone; rm -r again; mkdir again; echo new > again/f
         rm file; mkdir file; echo x > file/x; rmdir file.d; echo x > file.d; rm full/f
         mkdir -m 700 n; mkfifo n/p; mknod -m 600 n/c c 1 3; mknod -m 600 n/b b 8 1
         ln -s nowhere n/l; echo y > n/y; ln n/y n/a; chown 5:6 n/y; setfattr -n user.k -v v n/y
         setfattr -n trusted.k -v v n/y; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"n/s\")'
         python3 -c 'import os,socket; os.unlink(\"a/high\"); socket.socket(socket.AF_UNIX).bind(\"a/high\")'",
    );
    let expected = [
        "d 755 0:0 /a",
        "f 0 0:0 /a/.wh.high \"\"",
        "d 755 0:0 /a/b",
        "f 644 0:0 /a/b/f \"xx\\n\"",
        "d 755 0:0 /again",
        "f 0 0:0 /again/.wh..wh..opq \"\"",
        "f 644 0:0 /again/f \"new\\n\"",
        "d 755 0:0 /file",
        "f 644 0:0 /file/x \"x\\n\"",
        "f 644 0:0 /file.d \"x\\n\"",
        "d 755 0:0 /full",
        "f 0 0:0 /full/.wh.f \"\"",
        "d 700 0:0 /n",
        "f 644 5:6 /n/a \"y\\n\" user.k=v",
        "b 600 0:0 /n/b 8,1",
        "c 600 0:0 /n/c 1,3",
        "l 777 0:0 /n/l nowhere",
        "p 644 0:0 /n/p",
        "h 644 5:6 /n/y n/a user.k=v",
    ];
    let mut expected: Vec<_> = expected.map(str::to_owned).into();
    // sorts by its spelling
    expected.insert(0, "f 0 0:0 /.wh.gone \"\"".to_owned());
    assert_eq!(stack.pack().unwrap(), expected);
    let again = stack.pack().unwrap();
    assert_eq!(again, expected, "packing settles the upper directory");
}

#[test]
fn the_root_is_no_change_and_stays_everybodys() {
    let stack = Stack::new(":", ":");
    stack.run("chmod 700 .; chown 5:6 .; setfattr -n user.k -v v .");
    assert!(stack.pack().is_none());
    let upper = stack.0.path().join("upper");
    let meta = fs::metadata(&upper).unwrap();
    assert_eq!(
        (meta.mode() & 0o7777, meta.uid(), meta.gid()),
        (0o755, 0, 0)
    );
    let attribute = rustix::fs::getxattr(&upper, "user.k", &mut [0; 8]);
    assert_eq!(attribute, Err(rustix::io::Errno::NODATA));
}

#[test]
fn refuses_an_upper_directory_that_is_not_whole() {
    let stack = Stack::new(":", ":");
    shell(
        stack.0.path(),
        "mkdir upper/d; setfattr -n trusted.overlay.redirect -v /x upper/d",
    );
    let upper = stack.0.path().join("upper");
    let refused = pack_upper(&upper, &[], XattrNamespace::Trusted, Vec::new(), EPOCH);
    assert!(matches!(refused, Err(PackError::Elsewhere { .. })));
}

/// Takes what is written and keeps how much it was.
#[derive(Default)]
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The number of bytes this thread has had from the disk or its cache.
fn bytes_read() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn holes_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    shell(
        dir.path(),
        "mkdir root; truncate -s 8G root/file; echo end >> root/file; truncate -s +1M root/file
         printf x | dd of=root/file bs=1 seek=5000000 conv=notrunc status=none",
    );
    let before = bytes_read();
    let written = pack_tree(&root, Count::default(), EPOCH).unwrap();
    assert!(written.0 > 8 << 30);
    assert!(bytes_read() - before < 1 << 20);

    shell(dir.path(), "truncate -s 3M root/file");
    let tar = pack_tree(&root, Vec::new(), EPOCH).unwrap();
    let lines = listing(&tar);
    assert_eq!(lines.len(), 2);
    assert!(lines[1].matches("\\0").count() == 3 << 20);
}

#[test]
fn no_name_is_too_long_or_too_deep() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(":", ":");
    let deep = "n=$(printf 'x%.0s' {1..200}); for i in $(seq 100); do mkdir $n; cd -P $n; done 2> /dev/null; echo x > $'\\377\\n'";
    shell(dir.path(), &format!("mkdir root; cd root; {deep}"));
    let root = dir.path().join("root");
    let tar = pack_tree(&root, Vec::new(), EPOCH).unwrap();
    let lines = listing(&tar);
    assert_eq!(lines.len(), 102);
    assert!(lines[101].len() > 20_000 && lines[101].ends_with("\"x\\n\""));
    // The way below is as long.
    shell(stack.0.path(), &format!("cd high; {deep}; echo y > other"));
    let changed = deep.replace("echo x", "printf 'x\\nnew\\n'");
    shell(stack.0.path(), &format!("cd upper; {changed}"));
    let lines = stack.pack().unwrap();
    assert_eq!(lines.len(), 101);
    assert!(lines[100].ends_with("\"x\\nnew\\n\""));
    for name in ["high", "upper"] {
        crate::layout::remove_tree(&stack.0.path().join(name)).unwrap();
    }
    crate::layout::remove_tree(&root).unwrap();
}

#[test]
fn refuses_what_a_layer_cannot_hold() {
    let dir = tempfile::tempdir().unwrap();
    shell(
        dir.path(),
        "mkdir whiteout device; : > whiteout/.wh.x; mknod device/x c 0 0",
    );
    let pack = |name| pack_tree(&dir.path().join(name), Vec::new(), EPOCH);
    let reserved = pack("whiteout").err().unwrap();
    assert!(matches!(
        reserved,
        PackError::Write(WriteError::Reserved(_))
    ));
    assert!(matches!(pack("device"), Err(PackError::Device(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_tree_packed_and_unpacked_is_the_tree(made in commands(true)) {
        let dir = tempfile::tempdir().unwrap();
        shell(dir.path(), &format!("mkdir tree again; cd tree; {made}"));
        let [from, to] = ["tree", "again"].map(|name| dir.path().join(name));
        let tar = pack_tree(&from, Vec::new(), NEVER).unwrap();
        apply(tar.as_slice(), &to, Target::InPlace).unwrap();
        prop_assert_eq!(tree(&from, ALL), tree(&to, ALL));
        let again = pack_tree(&to, Vec::new(), NEVER).unwrap();
        prop_assert!(tar == again);
    }

    #[test]
    fn a_difference_makes_the_new_tree_of_the_old(made in commands(true), changed in commands(true)) {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("mkdir old; cd old; {made}\ncd ..; cp -a old new; cp -a old made; cd new; {changed}");
        shell(dir.path(), &script);
        let [old, new, made] = ["old", "new", "made"].map(|name| dir.path().join(name));
        if let Some(tar) = diff(&old, &new, Vec::new(), NEVER).unwrap() {
            apply(tar.as_slice(), &made, Target::InPlace).unwrap();
        }
        prop_assert_eq!(tree(&new, ALL), tree(&made, ALL));
        prop_assert!(diff(&new, &made, Vec::new(), NEVER).unwrap().is_none());
    }
}
