//! Who runs nothing and unpacks nothing.

use std::path::{Path, PathBuf};

use builder::cancel::Cancel;
use builder::executor::{Executor, ExecutorError, Ran, RunStep};
use builder::progress::Output;
use image_format::digest::Digest;
use image_format::snapshot::{
    Committed, LayerSource, OpenTar, Prepared, RootMount, SnapshotError, Snapshotter,
};

pub struct Nobody;

impl Executor for Nobody {
    fn run(
        &self,
        _: &RunStep,
        _: &Cancel,
        _: &mut dyn FnMut(Output, &[u8]),
    ) -> Result<Ran, ExecutorError> {
        panic!("nothing is to be run");
    }
}

impl Snapshotter for Nobody {
    fn ensure(&self, _: &[LayerSource]) -> Result<(), SnapshotError> {
        panic!("nothing is to be unpacked");
    }

    fn unpack(&self, _: &[Digest], _: &Digest, _: &mut OpenTar<'_>) -> Result<(), SnapshotError> {
        panic!("nothing is to be unpacked");
    }

    fn prepare_in(&self, _: &Path, _: &[Digest]) -> Result<RootMount, SnapshotError> {
        panic!("nothing is to be unpacked");
    }

    fn prepare(&self, _: &[Digest]) -> Result<Prepared, SnapshotError> {
        panic!("nothing is to be unpacked");
    }

    fn commit(&self, _: Prepared, _: i64, _: &[PathBuf]) -> Result<Committed, SnapshotError> {
        panic!("nothing is to be unpacked");
    }
}
