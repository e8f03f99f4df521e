//! Where what is set for registries lies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The files and directories that hold it, of one user. None of them need be there but those that a
/// variable or a flag names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The only file that has logins, if one was chosen: `--authfile`, `$REGISTRY_AUTH_FILE`.
    pub auth_file: Option<PathBuf>,
    /// Docker's: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. Logins are kept there.
    pub docker_config: Option<PathBuf>,
    /// Those of containers-auth.json(5), which are read after docker's.
    pub auth_files: Vec<PathBuf>,
    /// Which `registries.conf` there is.
    pub registries: RegistriesPlaces,
    /// The directories with a directory for each host (`certs.d`), the user's own first.
    pub certificates: Vec<PathBuf>,
}

/// Where `registries.conf` is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistriesPlaces {
    /// `$CONTAINERS_REGISTRIES_CONF`, which takes the place of the other two.
    pub chosen: Option<PathBuf>,
    /// The user's own, which takes the place of the machine's.
    pub own: Option<PathBuf>,
    /// The machine's.
    pub machine: PathBuf,
    /// The user's own further files.
    pub own_drop_ins: Option<PathBuf>,
    /// The machine's, which do not count where the user has an own `registries.conf`.
    pub machine_drop_ins: PathBuf,
}

impl Places {
    /// Those of the user with these environment variables and this number.
    pub fn new(variable: impl Fn(&str) -> Option<OsString>, uid: u32) -> Self {
        let path = |name: &str| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            Some(PathBuf::from(value))
        };
        let home = path("HOME");
        let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let docker = path("DOCKER_CONFIG").or_else(|| in_home(".docker"));
        let runtime = path("XDG_RUNTIME_DIR").map(|dir| dir.join("containers"));
        let runtime = runtime.unwrap_or_else(|| Path::new("/run/containers").join(uid.to_string()));
        let own = path("XDG_CONFIG_HOME").or_else(|| in_home(".config"));
        let own = own.map(|dir| dir.join("containers"));
        let own_auth = own.map(|dir| dir.join("auth.json"));
        let certificates = [
            in_home(".config/containers/certs.d"),
            in_home(".config/docker/certs.d"),
            Some("/etc/containers/certs.d".into()),
            Some("/etc/docker/certs.d".into()),
        ];
        Self {
            auth_file: path("REGISTRY_AUTH_FILE"),
            docker_config: docker.map(|dir| dir.join("config.json")),
            auth_files: std::iter::once(runtime.join("auth.json"))
                .chain(own_auth)
                .collect(),
            registries: RegistriesPlaces {
                chosen: path("CONTAINERS_REGISTRIES_CONF"),
                own: in_home(".config/containers/registries.conf"),
                machine: "/etc/containers/registries.conf".into(),
                own_drop_ins: in_home(".config/containers/registries.conf.d"),
                machine_drop_ins: "/etc/containers/registries.conf.d".into(),
            },
            certificates: certificates.into_iter().flatten().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(variables: &[(&str, &str)]) -> Places {
        let find = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name)?;
            Some(OsString::from(found.1))
        };
        Places::new(find, 7)
    }

    #[test]
    fn the_environment_says_where_logins_are() {
        let plain = places(&[("HOME", "/h"), ("DOCKER_CONFIG", "")]);
        assert_eq!(plain.auth_file, None);
        assert_eq!(plain.docker_config, Some("/h/.docker/config.json".into()));
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        let expected = [
            "/run/containers/7/auth.json",
            "/h/.config/containers/auth.json",
        ];
        assert_eq!(plain.auth_files, paths(&expected));
        let given = places(&[
            ("HOME", "/h"),
            ("DOCKER_CONFIG", "/d"),
            ("XDG_RUNTIME_DIR", "/r"),
            ("XDG_CONFIG_HOME", "/c"),
            ("REGISTRY_AUTH_FILE", "/a"),
        ]);
        assert_eq!(given.auth_file, Some("/a".into()));
        assert_eq!(given.docker_config, Some("/d/config.json".into()));
        let expected = ["/r/containers/auth.json", "/c/containers/auth.json"];
        assert_eq!(given.auth_files, paths(&expected));
    }

    #[test]
    fn there_are_places_without_a_home() {
        let found = places(&[]);
        assert_eq!(found.docker_config, None);
        assert_eq!(found.certificates.len(), 2);
        assert_eq!(found.registries.own, None);
    }
}
