//! One of `registries`: a name, or a table that says how it is reached.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    config::{
        RegistryConfig,
        anchor::Anchor,
        refusal::{no_control_characters, quoted, refusal},
        spec::{EndpointSpec, bracketed},
    },
    error::Result,
};

/// A registry as it is written.
#[derive(Debug)]
pub(super) struct Registry(Table);

/// `{ host = "127.0.0.1:5000", insecure = true }`; its fields are the keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    host: String,
    #[serde(default)]
    insecure: bool,
    ca: Option<String>,
}

impl<'de> Deserialize<'de> for Registry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Registry;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text or a table")
            }

            fn visit_str<E>(self, host: &str) -> Result<Registry, E> {
                Ok(Registry(Table { host: host.to_owned(), insecure: false, ca: None }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Registry, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(Registry)
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl Registry {
    /// Checks it.
    pub(super) fn checked(&self, anchor: Anchor<'_>) -> Result<RegistryConfig> {
        let Table { host, insecure, ca } = &self.0;
        let ca = ca.as_deref().map(|ca| authorities(ca, anchor)).transpose()?;
        if ca.is_some() && *insecure {
            return Err(refusal("\"ca\" and \"insecure\" exclude each other", "a file of authorities is for TLS"));
        }
        Ok(RegistryConfig { host: name(host)?, insecure: *insecure, ca })
    }
}

/// The file of the authorities of a registry.
fn authorities(text: &str, anchor: Anchor<'_>) -> Result<PathBuf> {
    no_control_characters(text)?;
    match text.trim() {
        "" => Err(refusal("\"ca\" without a file", "name the PEM file of its authority, or remove the key")),
        text => anchor.path(Path::new(text)),
    }
}

/// `HOST[:PORT]`, in lower case, as it stands in front of an image's name.
fn name(text: &str) -> Result<String> {
    let refused = || {
        let mend = "write HOST or HOST:PORT, as in front of an image: \"ghcr.io\", \"127.0.0.1:5000\"";
        refusal(format!("{} is no registry", quoted(text)), mend)
    };
    let plain = !text.contains(['/', '@', '%']);
    let parsed = plain.then(|| EndpointSpec::parse(&format!("ssh://{text}"))).ok_or_else(refused)?;
    let Ok(EndpointSpec::Ssh { user: None, host, port, socket: None }) = parsed else { return Err(refused()) };
    // Without one of these the engine takes the word for a part of an image's name.
    let is_known = host.contains(['.', ':']) || port.is_some() || host.eq_ignore_ascii_case("localhost");
    if !is_known || !host.is_ascii() {
        return Err(refused());
    }
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("{}{port}", bracketed(&host)).to_ascii_lowercase())
}
