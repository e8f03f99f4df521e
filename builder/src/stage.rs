//! A stage in the making: its layers so far, its config so far, and what its variables stand for.

use std::collections::BTreeMap;

use image_format::config::{History, ImageConfig};
use image_format::descriptor::{Descriptor, Platform};
use image_format::digest::Digest;
use image_format::layout::{Image, Layer};
use image_format::media_type;
use image_format::snapshot::LayerSource;
use serde_json::Value;

/// Where programs are looked for when an image does not say; docker puts it into every image.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Arguments for docker's search for what an image is made of: they are no variables.
const SBOM_SCANS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];
/// What tools know an image by that was built from a Dockerfile.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// The image of a stage, as far as its instructions have been followed.
#[derive(Clone, Debug)]
pub(crate) struct StageState {
    /// The config. The layers' diff IDs are in it.
    pub(crate) config: ImageConfig,
    /// The layers as they are stored, base first.
    pub(crate) layers: Vec<Descriptor>,
    /// How many of the layers an image of the store brought: those are durable.
    pub(crate) durable: usize,
    /// What words and commands see. `ENV` and `ARG` are alike here: of one name, the later wins.
    env: BTreeMap<String, String>,
    /// What `ARG` declared, in that order, and the value it gave.
    args: Vec<(String, String)>,
    /// Whether the stage itself has set `CMD`: then `ENTRYPOINT` leaves it.
    pub(crate) own_cmd: bool,
}

impl StageState {
    /// On nothing.
    pub(crate) fn scratch(platform: &Platform) -> Self {
        let mut config = ImageConfig::scratch(platform);
        config.config.working_dir = "/".to_owned();
        Self::on(config, Vec::new())
    }

    /// On an image of the store.
    pub(crate) fn image(image: &Image) -> Self {
        let layers = image.manifest.layers.iter().map(stored).collect();
        Self::on(image.config.clone(), layers)
    }

    /// On an earlier stage: arguments that it declared hold on, but its `ENV` comes before them now.
    pub(crate) fn stage(below: &Self) -> Self {
        let mut stage = Self {
            own_cmd: false,
            ..below.clone()
        };
        stage.config.config.on_build.clear();
        let env = stage.config.config.env.iter().map(|entry| split(entry));
        stage
            .env
            .extend(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
        stage
    }

    /// On an image with this config and these layers; its triggers are this stage's own instructions.
    pub(crate) fn on(mut config: ImageConfig, layers: Vec<Descriptor>) -> Self {
        config.config.on_build.clear();
        let env = &mut config.config.env;
        if !env.iter().any(|entry| split(entry).0 == "PATH") {
            env.push(format!("PATH={DEFAULT_PATH}"));
        }
        Self::bare(config, layers)
    }

    /// With this config, and nothing else in it.
    pub(crate) fn bare(config: ImageConfig, layers: Vec<Descriptor>) -> Self {
        let seen = config.config.env.iter().map(|entry| split(entry));
        let seen = seen.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            env: seen.collect(),
            durable: layers.len(),
            args: Vec::new(),
            own_cmd: false,
            config,
            layers,
        }
    }

    /// What its programs run on.
    pub(crate) fn platform(&self) -> Platform {
        Platform {
            os: self.config.os.clone(),
            architecture: self.config.architecture.clone(),
            variant: self.config.variant.clone(),
            extra: BTreeMap::new(),
        }
    }

    /// The layers by the digests of their tars, base first.
    pub(crate) fn diff_ids(&self) -> &[Digest] {
        &self.config.rootfs.diff_ids
    }

    /// The layers, to be unpacked or read.
    pub(crate) fn stack(&self) -> Vec<LayerSource> {
        let layers = self.layers.iter().zip(self.diff_ids());
        layers
            .map(|(blob, diff_id)| LayerSource {
                blob: blob.clone(),
                diff_id: *diff_id,
            })
            .collect()
    }

    /// What a variable stands for.
    pub(crate) fn lookup(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    /// All variables that are set.
    pub(crate) fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// The declared arguments as a command sees them; one that has no value is empty.
    pub(crate) fn args(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.args.iter().map(|(name, given)| {
            let value = self.env.get(name).unwrap_or(given);
            (name.as_str(), value.as_str())
        })
    }

    /// Sets a variable of the image, where it stood or at the end.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        let env = &mut self.config.config.env;
        match env.iter_mut().find(|known| split(known).0 == name) {
            Some(known) => *known = entry,
            None => env.push(entry),
        }
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Declares an argument; without a value the name keeps the one it has.
    pub(crate) fn set_argument(&mut self, name: &str, value: Option<&str>) {
        let given = value.unwrap_or_default().to_owned();
        match self.args.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = given,
            None => self.args.push((name.to_owned(), given)),
        }
        if let Some(value) = value
            && !SBOM_SCANS.contains(&name)
        {
            self.env.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The program and arguments of the shell form, the command appended.
    pub(crate) fn shell(&self, command: &str) -> Vec<String> {
        let mut args = match &self.config.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        };
        args.push(command.to_owned());
        args
    }

    /// The working directory, absolute, as the config spells it.
    pub(crate) fn workdir(&self) -> &str {
        match self.config.config.working_dir.as_str() {
            "" => "/",
            dir => dir,
        }
    }

    /// Notes an instruction, and puts its layer on the others if it made one.
    pub(crate) fn push(&mut self, created_by: String, created: &str, layer: Option<Layer>) {
        let comment = ("comment".to_owned(), Value::from(COMMENT));
        self.config.history.push(History {
            created: Some(created.to_owned()),
            created_by: Some(created_by),
            empty_layer: layer.is_none(),
            extra: BTreeMap::from([comment]),
        });
        if let Some(layer) = layer {
            self.config.rootfs.diff_ids.push(layer.diff_id);
            self.layers.push(layer.descriptor());
        }
    }
}

/// Name and value of an entry of the environment; one without `=` is a name.
fn split(entry: &str) -> (&str, &str) {
    entry.split_once('=').unwrap_or((entry, ""))
}

/// A base's layer as the new manifest names it: what docker calls it has an OCI name too, and
/// where else it may be had is not this image's to say.
fn stored(layer: &Descriptor) -> Descriptor {
    let name = media_type::oci_layer(&layer.media_type);
    Descriptor::new(name, layer.digest, layer.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_env_and_arg_wins() {
        let mut state = StageState::scratch(&Platform::host());
        state.set_argument("a", Some("arg"));
        assert_eq!(state.lookup("a").as_deref(), Some("arg"));
        state.set_env("a", "env");
        state.set_argument("a", None);
        assert_eq!(state.lookup("a").as_deref(), Some("env"));
        state.set_argument("a", Some("again"));
        assert_eq!(state.lookup("a").as_deref(), Some("again"));
        assert!(state.config.config.env.contains(&"a=env".to_owned()));
        assert_eq!(state.lookup("b"), None);
        assert_eq!(state.lookup("PATH").as_deref(), Some(DEFAULT_PATH));
    }

    #[test]
    fn a_variable_keeps_its_place() {
        let mut state = StageState::scratch(&Platform::host());
        state.set_env("a", "1");
        state.set_env("PATH", "/bin");
        assert_eq!(state.config.config.env, ["PATH=/bin", "a=1"]);
    }

    #[test]
    fn a_stage_on_a_stage_has_its_arguments_and_not_its_claim_to_cmd() {
        let mut below = StageState::scratch(&Platform::host());
        below.set_argument("a", Some("1"));
        below.set_argument("b", None);
        below.set_env("c", "env");
        below.set_argument("c", Some("arg"));
        below.own_cmd = true;
        let state = StageState::stage(&below);
        let seen = [("a", "1"), ("b", ""), ("c", "env")];
        assert_eq!(state.args().collect::<Vec<_>>(), seen);
        assert!(!state.own_cmd);
    }
}
