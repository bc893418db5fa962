//! What only a real sshd can show; run through `integration/test`, which brings the engine behind it.

mod login;
mod rig;
mod streams;
