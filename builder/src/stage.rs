//! A stage in the making: its layers so far, its config so far, and what its variables stand for.

use image_format::config::{History, ImageConfig, chain_id};
use image_format::descriptor::{Descriptor, Platform};
use image_format::digest::Digest;
use image_format::layout::{Image, Layer};
use image_format::media_type;

/// Where programs are looked for when an image does not say; docker puts it into every image.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The image of a stage, as far as its instructions have been followed.
#[derive(Clone, Debug)]
pub(crate) struct StageState {
    /// The config. The layers' diff IDs are in it.
    pub(crate) config: ImageConfig,
    /// The layers as they are stored, base first.
    pub(crate) layers: Vec<Descriptor>,
    /// The arguments declared so far, in that order.
    pub(crate) args: Vec<Argument>,
    /// Whether the stage itself has set `CMD`: then `ENTRYPOINT` leaves it.
    pub(crate) own_cmd: bool,
}

/// An argument that `ARG` declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Argument {
    /// Its name.
    pub(crate) name: String,
    /// Its value, if it has one.
    pub(crate) value: Option<String>,
}

impl StageState {
    /// On nothing.
    pub(crate) fn scratch(platform: &Platform) -> Self {
        Self::on(ImageConfig::scratch(platform), Vec::new(), Vec::new())
    }

    /// On an image of the store.
    pub(crate) fn image(image: &Image) -> Self {
        let layers = image.manifest.layers.iter().map(stored).collect();
        Self::on(image.config.clone(), layers, Vec::new())
    }

    /// On an earlier stage: arguments that it declared hold on.
    pub(crate) fn stage(below: &Self) -> Self {
        Self::on(
            below.config.clone(),
            below.layers.clone(),
            below.args.clone(),
        )
    }

    fn on(config: ImageConfig, layers: Vec<Descriptor>, args: Vec<Argument>) -> Self {
        let mut state = Self {
            config,
            layers,
            args,
            own_cmd: false,
        };
        if state.env("PATH").is_none() {
            state.set_env("PATH", DEFAULT_PATH);
        }
        state
    }

    /// The name of the stack of layers; `None` for the empty one.
    pub(crate) fn chain_id(&self) -> Option<Digest> {
        chain_id(self.diff_ids())
    }

    /// The layers by the digests of their tars, base first.
    pub(crate) fn diff_ids(&self) -> &[Digest] {
        &self.config.rootfs.diff_ids
    }

    /// What a variable stands for. `ENV` wins over `ARG`, in whatever order they come.
    pub(crate) fn lookup(&self, name: &str) -> Option<String> {
        self.env(name)
            .or_else(|| self.argument(name))
            .map(ToOwned::to_owned)
    }

    fn env(&self, name: &str) -> Option<&str> {
        let mut all = self.config.config.env.iter();
        all.find_map(|entry| entry.split_once('=').filter(|(known, _)| *known == name))
            .map(|(_, value)| value)
    }

    fn argument(&self, name: &str) -> Option<&str> {
        let known = self.args.iter().find(|argument| argument.name == name)?;
        known.value.as_deref()
    }

    /// Whether `ARG` has declared this name.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.args.iter().any(|argument| argument.name == name)
    }

    /// Sets a variable of the image, where it stood or at the end.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        let env = &mut self.config.config.env;
        let same = |known: &&mut String| {
            known
                .split_once('=')
                .map_or(known.as_str(), |(name, _)| name)
                == name
        };
        match env.iter_mut().find(same) {
            Some(known) => *known = entry,
            None => env.push(entry),
        }
    }

    /// Declares an argument.
    pub(crate) fn set_argument(&mut self, name: &str, value: Option<String>) {
        match self.args.iter_mut().find(|known| known.name == name) {
            Some(known) => known.value = value,
            None => self.args.push(Argument {
                name: name.to_owned(),
                value,
            }),
        }
    }

    /// The shell of the shell form.
    pub(crate) fn shell(&self) -> Vec<String> {
        match &self.config.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        }
    }

    /// The working directory, absolute.
    pub(crate) fn workdir(&self) -> &str {
        match self.config.config.working_dir.as_str() {
            "" => "/",
            dir => dir,
        }
    }

    /// Notes an instruction, and puts its layer on the others if it made one.
    pub(crate) fn push(&mut self, created_by: String, created: &str, layer: Option<Layer>) {
        self.config.history.push(History {
            created: Some(created.to_owned()),
            created_by: Some(created_by),
            empty_layer: layer.is_none(),
            ..History::default()
        });
        self.config.created = Some(created.to_owned());
        if let Some(layer) = layer {
            self.config.rootfs.diff_ids.push(layer.diff_id);
            self.layers.push(layer.descriptor());
        }
    }
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
    fn env_wins_over_arg() {
        let mut state = StageState::scratch(&Platform::host());
        state.set_argument("a", Some("arg".to_owned()));
        assert_eq!(state.lookup("a").as_deref(), Some("arg"));
        state.set_env("a", "env");
        state.set_argument("a", Some("again".to_owned()));
        assert_eq!(state.lookup("a").as_deref(), Some("env"));
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
}
