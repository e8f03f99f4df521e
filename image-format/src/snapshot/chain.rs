//! The chain IDs of a stack of layers.

use crate::config::chain_id;
use crate::digest::Digest;

/// The chain ID of each layer with those below it, base first.
pub(super) fn ids(stack: &[Digest]) -> Vec<Digest> {
    let ends = 1..=stack.len();
    ends.filter_map(|end| chain_id(&stack[..end])).collect()
}

/// The chain ID of a layer on those below.
pub(super) fn above(below: &[Digest], layer: &Digest) -> Digest {
    let stack = [below, &[*layer]].concat();
    chain_id(&stack).unwrap_or(*layer)
}
