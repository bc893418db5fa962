//! Faults of real engines, sshds, links and disks: what was asked fails in time and by name, nothing is done twice,
//! other hosts keep answering, and the gateway recovers without being started again.
//!
//! Each test has an engine or an sshd of its own, for the lab's are shared; both live in namespaces that end with them.

mod churn;
mod disk;
mod engines;
mod gate;
mod link;
pub(crate) mod own_engine;
mod own_sshd;
mod registry;
mod space;
mod ssh;
mod ward;
