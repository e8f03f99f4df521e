//! Whiteouts and opaque directories: what of the layers below is gone.

use rustix::fs::{FileType, Mode};

use super::Unpacker;
use super::attributes;
use super::dirs::Child;
use super::error::{Fault, failed};
use super::remove::{list, remove};

impl Unpacker<'_> {
    /// What the layers below have at a name here is gone; what this layer has stays.
    pub(super) fn hide(&mut self, name: &[u8]) -> Result<(), Fault> {
        let child = self.dirs.node().children.get(name).copied();
        let own_dir = match child {
            Some(Child::Dir(number)) => self.dirs.numbered(number).own,
            _ => false,
        };
        if own_dir {
            let fd = self.dirs.open(name).map_err(failed("open"))?;
            self.go_into(name, fd)?;
            self.hide_all()?;
            self.here = None;
            return self.dirs.up();
        }
        if child == Some(Child::Own) {
            return Ok(());
        }
        if self.lowers.is_some() && child.is_none() && self.own(name)?.is_some() {
            // All that is in an overlay's layer is this layer's own, or a whiteout already.
            return Ok(());
        }
        // Nothing, or only passed through.
        self.remove(name)?;
        self.whiteout(name)
    }

    /// All that the layers below have in the current directory is gone.
    pub(super) fn hide_all(&mut self) -> Result<(), Fault> {
        if let Some(lowers) = &self.lowers {
            if self.dirs.is_root() {
                // Overlayfs joins roots whatever they say.
                for name in lowers.names_in_root()? {
                    self.hide(&name)?;
                }
                return Ok(());
            }
            self.set_opaque()?;
        }
        self.here = None;
        let in_place = self.lowers.is_none();
        self.dirs.walk(|fd, number, nodes| {
            let names: Vec<Box<[u8]>> = if in_place {
                let all = list(fd)?.into_iter();
                all.map(|(name, _)| name.into()).collect()
            } else {
                nodes[number].children.keys().cloned().collect()
            };
            let mut own = Vec::new();
            for name in names {
                match nodes[number].children.get(&name) {
                    Some(Child::Own) => {}
                    Some(Child::Dir(dir)) if nodes[*dir].own => own.push((name, *dir)),
                    _ => {
                        nodes[number].children.remove(&name);
                        remove(fd, &name)?;
                    }
                }
            }
            Ok(own)
        })
    }

    /// Leaves an entry out: nothing is at its name, not even what the layers below have.
    pub(super) fn leave_out(&mut self, name: &[u8]) -> Result<(), Fault> {
        self.remove(name)?;
        self.whiteout(name)
    }

    pub(super) fn set_opaque(&mut self) -> Result<(), Fault> {
        if let Some(lowers) = &self.lowers {
            attributes::set_opaque(self.dirs.fd(), lowers.xattrs())?;
            self.dirs.node_mut().opaque = true;
        }
        Ok(())
    }

    /// Spells that a name here is gone, where the layers below have it.
    fn whiteout(&mut self, name: &[u8]) -> Result<(), Fault> {
        if self.below(name)?.is_none() {
            return Ok(());
        }
        let (file_type, mode) = (FileType::CharacterDevice, Mode::empty());
        rustix::fs::mknodat(self.dirs.fd(), name, file_type, mode, 0)
            .map_err(failed("make the whiteout of"))
    }
}
