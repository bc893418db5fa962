//! Containers as the engine lists them: only what is shown of a row is read, and most of a row never is.

use serde::de::MapAccess;
use serde_json::Value;

use super::records::{Field, Record};
use crate::redact::{self, Reveal};

/// A container in the engine's list. What is missing there, or is of another kind than it should be, is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// The full id.
    pub id: String,
    /// The first of its names, without the slash in front.
    pub name: String,
    /// The image, as it was called when the container was made.
    pub image: String,
    /// The image's full id.
    pub image_id: String,
    /// `running`, `exited` and so on.
    pub state: String,
    /// What the engine says of it in words: `Up 2 minutes (healthy)`.
    pub status: String,
    /// Its ports, published or not; one that is published at two addresses stands there twice.
    pub ports: Vec<Port>,
    /// The bytes that it has written, where they were asked for.
    pub written: Option<u64>,
    /// Those that were asked for and are there; null stands for what is no text.
    labels: Vec<(String, Value)>,
}

/// A port of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Port {
    /// The address of the host at which it is published.
    pub address: String,
    /// The port inside.
    pub private: Option<u64>,
    /// The port of the host, where it is published.
    pub public: Option<u64>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl Container {
    /// The text of a label that was asked for, as it may be shown.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.label_value(name)?.as_str()
    }

    /// The same, also where it is no text.
    #[must_use]
    pub fn label_value(&self, name: &str) -> Option<&Value> {
        // The last of two of one name counts, as in a document.
        self.labels.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// One as a list with nothing but this row shows it, with all of its labels.
    #[cfg(test)]
    pub(crate) fn of(row: Value) -> Self {
        let labels: Vec<String> =
            row.get("Labels").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        super::records::of(Value::from(vec![row]), &labels).and_then(|rows| rows.into_iter().next()).unwrap_or_default()
    }

    /// Masks its labels as [`redact::document`] masks those of a document that is read as a whole.
    pub(super) fn mask(&mut self, reveal: &Reveal) {
        for (name, value) in &mut self.labels {
            if let Value::String(text) = value
                && let Some(shown) = redact::label(name, text, reveal)
            {
                *text = shown;
            }
        }
    }
}

impl Record for Container {
    const FIELDS: &'static [&'static str] =
        &["Id", "Names", "Image", "ImageID", "State", "Status", "Ports", "Labels", "SizeRw"];

    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, value: Field<'_, A>) -> Result<(), A::Error> {
        match field {
            "Id" => self.id = value.text()?,
            "Names" => {
                self.name = value.first_text()?;
                let slashes = self.name.len() - self.name.trim_start_matches('/').len();
                self.name.drain(..slashes);
            }
            "Image" => self.image = value.text()?,
            "ImageID" => self.image_id = value.text()?,
            "State" => self.state = value.text()?,
            "Status" => self.status = value.text()?,
            "Ports" => self.ports = value.records()?,
            "Labels" => self.labels = value.labels()?,
            _ => self.written = value.number()?,
        }
        Ok(())
    }
}

impl Record for Port {
    const FIELDS: &'static [&'static str] = &["IP", "PrivatePort", "PublicPort", "Type"];

    fn read<'de, A: MapAccess<'de>>(&mut self, field: &str, value: Field<'_, A>) -> Result<(), A::Error> {
        match field {
            "IP" => self.address = value.text()?,
            "PrivatePort" => self.private = value.number()?,
            "PublicPort" => self.public = value.number()?,
            _ => self.protocol = value.text()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_masked_as_in_a_document() {
        let labels = json!({
            "db.password": "hunter2hunter2", "com.docker.compose.project": "shop", "run.command": "x --password s3cr3t9",
            "plain": "https://ana:s3cr3t9@example.com/", "odd": 7,
        });
        let mut whole = json!({"Labels": labels});
        redact::document(&mut whole, &Reveal::default());
        let mut container = Container::of(json!({"Labels": labels}));
        container.mask(&Reveal::default());
        for name in ["db.password", "com.docker.compose.project", "run.command", "plain"] {
            assert_eq!(container.label(name), whole["Labels"][name].as_str(), "{name}");
        }
        assert_ne!(container.label("db.password"), Some("hunter2hunter2"));
        assert_eq!(container.label("com.docker.compose.project"), Some("shop"));
        assert!(container.label("odd").is_none() && container.label_value("odd").is_some());
    }
}
