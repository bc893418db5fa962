//! Swarms: two engines of a test's own, each in a network of its own, with a cable between them.

mod cluster;
mod kept;
mod nodes;
mod rig;
mod services;
mod stacks;
