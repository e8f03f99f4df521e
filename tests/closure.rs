//! `COPY --closure`: programs with the libraries they need, out of a stage or the context.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use support::{Env, Ran, User};

impl Env {
    /// An image of this machine's programs, with all they need.
    fn tools(&self) {
        let mut args = vec!["import", "-t", "tools"];
        for program in ["bash", "ls", "cat", "env"] {
            args.extend(["--binary", program]);
        }
        self.mkimg(args).success();
    }

    fn build(&self, dockerfile: &str) -> Ran {
        self.write("context/Dockerfile", dockerfile);
        self.mkimg(["build", "-t", "out", "context"])
    }

    fn run(&self, args: &[&str]) -> String {
        let fixed = ["run", "--rm", "--network", "none", "out"];
        let ran = self.mkimg(fixed.iter().chain(args));
        ran.success().out().to_owned()
    }

    /// The paths in the last layer of an image.
    fn last_layer(&self, image: &str) -> BTreeSet<String> {
        let inspected = self.mkimg(["inspect", image]).success().json();
        let layers = inspected[0]["RootFS"]["Layers"].as_array().unwrap();
        let digest = layers.last().unwrap().as_str().unwrap();
        let blob = self.store().join("blobs").join(digest.replace(':', "/"));
        let mut tar = tar::Archive::new(std::fs::File::open(blob).unwrap());
        let entries = tar.entries().unwrap().map(|entry| entry.unwrap());
        let paths = entries.map(|entry| entry.path().unwrap().display().to_string());
        paths
            .map(|path| path.trim_end_matches('/').to_owned())
            .collect()
    }

    /// Unpacks the last layer of an image into a directory of this place.
    fn unpack(&self, image: &str, dir: &str) {
        let inspected = self.mkimg(["inspect", image]).success().json();
        let layers = inspected[0]["RootFS"]["Layers"].as_array().unwrap();
        let digest = layers.last().unwrap().as_str().unwrap();
        let blob = self.store().join("blobs").join(digest.replace(':', "/"));
        let dir = self.dir(dir);
        support::run(self.program("tar").arg("-xf").arg(blob).arg("-C").arg(dir)).success();
    }
}

#[test]
fn a_program_from_a_stage_runs_in_an_empty_image() {
    for user in User::with_ids() {
        let env = Env::new(*user);
        env.tools();
        env.build("FROM scratch\nCOPY --closure --from=tools /usr/bin/ls /tools/list\n")
            .success();
        assert_eq!(env.run(&["/tools/list", "/tools"]), "list\n");
        let layer = env.last_layer("out");
        assert!(!layer.iter().any(|path| path.contains("bash")), "{layer:?}");
        assert!(!layer.contains("usr/bin/ls"), "{layer:?}");
        assert!(layer.contains("lib64"), "{layer:?}");
        let history = env.mkimg(["history", "--no-trunc", "out"]).success();
        assert!(
            history
                .out()
                .contains("COPY --closure /usr/bin/ls /tools/list"),
            "{history}"
        );
        // Found in the cache, and not where the flag is not.
        let again =
            env.build("FROM scratch\nCOPY --closure --from=tools /usr/bin/ls /tools/list\n");
        assert!(again.success().err().contains("CACHED"));
        env.build("FROM scratch\nCOPY --from=tools /usr/bin/ls /tools/list\n")
            .success();
        assert_eq!(env.last_layer("out").len(), 2);
    }
}

#[test]
fn the_context_gives_the_same_layer() {
    let env = Env::new(User::Own);
    env.tools();
    env.unpack("tools", "context");
    env.build("FROM scratch\nCOPY --closure --from=tools /usr/bin/cat /usr/bin/bash /usr/bin/\n")
        .success();
    let of_stage = env.mkimg(["inspect", "out"]).success().json()[0]["RootFS"].clone();
    env.build("FROM scratch\nCOPY --closure usr/bin/cat usr/bin/ba[s]h /usr/bin/\n")
        .success();
    let of_context = env.mkimg(["inspect", "out"]).success().json()[0]["RootFS"].clone();
    assert_eq!(of_stage, of_context);
    assert_eq!(
        env.run(&["cat", "/usr/bin/../bin/../../etc/hostname"])
            .len(),
        13
    );
    // What the ignore file leaves out is not there.
    env.write("context/.dockerignore", "**/libc.so.6\n");
    env.build("FROM scratch\nCOPY --closure usr/bin/cat /usr/bin/\n")
        .exits(1)
        .says(["/usr/bin/cat needs \"libc.so.6\""]);
}

#[test]
fn scripts_bring_their_interpreters_and_directories_their_programs() {
    let env = Env::new(User::Own);
    env.tools();
    env.write("context/tool", "#!/usr/bin/env bash\necho \"hello $1\"\n");
    env.write("context/notes", "no program");
    let dockerfile = "FROM tools AS tools\nCOPY --chmod=755 tool /opt/app/bin/tool\n\
         COPY notes /opt/app/notes\nFROM scratch\n\
         COPY --closure --from=tools /opt/app /app\n";
    env.build(dockerfile).success();
    let path = ["/app/bin/tool", "you"];
    assert_eq!(env.run(&path), "hello you\n");
    let layer = env.last_layer("out");
    assert!(
        layer.contains("app/notes") && layer.contains("usr/bin/env"),
        "{layer:?}"
    );
    assert!(!layer.contains("usr/bin/ls"), "{layer:?}");
}

#[test]
fn a_base_with_other_directories_gets_what_its_loader_looks_for() {
    let env = Env::new(User::Own);
    env.tools();
    env.dir("base/lib64");
    env.dir("base/usr");
    env.write("base/lib64/own", "kept");
    env.mkimg(["import", "base", "old"]).success();
    env.build("FROM old\nCOPY --closure --from=tools /usr/bin/ls /usr/bin/cat /usr/bin/\n")
        .success();
    assert_eq!(env.run(&["cat", "/lib64/own"]), "kept");
    let listed = env.run(&["ls", "/lib64"]);
    assert!(
        listed.contains("ld-linux") && listed.contains("own"),
        "{listed}"
    );
}

#[test]
fn owners_and_modes_are_as_the_instruction_says() {
    let env = Env::new(User::Own);
    env.tools();
    env.build("FROM scratch\nCOPY --closure --chown=12:34 --from=tools /usr/bin/ls /usr/bin/ls\n")
        .success();
    let listed = env.run(&["ls", "-n", "/usr/bin/ls"]);
    assert!(listed.contains(" 12 34 "), "{listed}");
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let env = Env::new(User::Own);
    env.tools();
    env.write("context/notes", "no program");
    env.build("FROM scratch\nCOPY --closure notes /\n")
        .exits(1)
        .says([
            "/notes is neither an ELF file nor a script",
            "2 | COPY --closure notes /",
            "--closure is for programs",
        ]);
    let alone = std::fs::read("/bin/ls").unwrap();
    env.write("context/ls", alone);
    env.build("FROM scratch\nCOPY --closure ls /\n")
        .exits(1)
        .says(["/ls needs ", "and the tree has none for its machine"]);
    env.write("context/script", "#!/no/such -x\n");
    env.build("FROM scratch\nCOPY --closure script /\n")
        .exits(1)
        .says(["/script needs \"/no/such\""]);
    env.build("FROM scratch\nCOPY --closure --from=tools /usr/bin/lss /\n")
        .exits(1)
        .says(["did you mean \"/usr/bin/ls\"?"]);
    env.build("FROM scratch\nADD --closure notes /\n")
        .exits(1)
        .says(["closure"]);
}

/// Compiles a program that finds its library beside itself.
fn beside(dir: &Path) {
    let at = |name: &str| dir.join(name).display().to_string();
    std::fs::create_dir_all(dir.join("opt/lib")).unwrap();
    std::fs::create_dir_all(dir.join("opt/bin")).unwrap();
    std::fs::write(at("near.c"), "int near(void){return 7;}").unwrap();
    std::fs::write(
        at("main.c"),
        "int near(void);int main(void){return near();}",
    )
    .unwrap();
    let gcc = |args: &[&str]| {
        assert!(Command::new("gcc").args(args).status().unwrap().success());
    };
    let library = at("opt/lib/libnear.so");
    gcc(&[
        "-shared",
        "-fPIC",
        "-Wl,-soname,libnear.so",
        "-o",
        &library,
        &at("near.c"),
    ]);
    let (program, place) = (at("opt/bin/main"), at("opt/lib"));
    let search = format!("-L{place}");
    let path = "-Wl,-rpath,$ORIGIN/../lib";
    gcc(&["-o", &program, &at("main.c"), &search, "-lnear", path]);
}

#[test]
fn a_program_that_finds_libraries_beside_itself_stays_there() {
    let env = Env::new(User::Own);
    env.tools();
    env.dir("context");
    env.unpack("tools", "context");
    beside(&env.path("context"));
    env.build("FROM scratch\nCOPY --closure opt/bin/main /bin/\n")
        .exits(1)
        .says([
            "\"/opt/bin/main\" finds \"/opt/lib/libnear.so\" by where it lies itself",
            "help: copy it to \"/opt/bin/main\"",
        ]);
    for instruction in ["opt/bin/main /opt/bin/", "opt /opt", "opt/bin /opt/bin"] {
        let dockerfile =
            format!("FROM scratch\nCOPY --closure {instruction}\nCMD [\"/opt/bin/main\"]\n");
        env.build(&dockerfile).success();
        env.mkimg(["run", "--rm", "--network", "none", "out"])
            .exits(7);
    }
    env.build("FROM scratch\nCOPY --closure opt /moved\nCMD [\"/moved/bin/main\"]\n")
        .success();
    env.mkimg(["run", "--rm", "--network", "none", "out"])
        .exits(7);
}
