//! Registries: who gets whose credentials, and what registries answer.

mod credentials;
