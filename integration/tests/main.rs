//! The tests that need real engines: `integration/test` brings the lab up and runs them.

mod rig;

mod containers;
