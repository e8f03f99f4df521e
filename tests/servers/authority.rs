//! A certificate authority of a test's own, by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority, with its files in a directory.
pub struct Authority {
    dir: PathBuf,
}

/// A certificate and its key, in PEM.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(dir: &Path) -> Self {
        let authority = Self {
            dir: dir.to_owned(),
        };
        authority.openssl(
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca",
        );
        authority
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// The key to it.
    pub fn key(&self) -> PathBuf {
        self.dir.join("ca.key")
    }

    /// Makes a certificate for a server at loopback and for a client, to lie at `name.crt` and
    /// `name.key`.
    pub fn issue(&self, name: &str) -> Certificate {
        self.openssl(&format!(
            "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        let extensions = "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.example\n\
                          basicConstraints=CA:FALSE\n";
        std::fs::write(self.dir.join("extensions"), extensions).unwrap();
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -set_serial {} -days 2 \
             -extfile extensions -out {name}.crt",
            name.bytes().map(u32::from).sum::<u32>()
        ));
        Certificate {
            certificate: self.dir.join(format!("{name}.crt")),
            key: self.dir.join(format!("{name}.key")),
        }
    }

    fn openssl(&self, args: &str) {
        let output = Command::new("openssl")
            .args(args.split_whitespace())
            .current_dir(&self.dir)
            .output()
            .expect("openssl: tests/install installs it");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {args}: {said}");
    }
}
