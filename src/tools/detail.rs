//! One object in detail, by the sections that were asked for.

use schemars::JsonSchema;
use serde::Serialize;

use super::view::short_id;
use crate::tool::{Json, Object, ObjectKind, Summary};

/// What is shown of one object.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Inspected {
    name: String,
    id: String,
    #[serde(flatten)]
    sections: Json,
    #[serde(skip)]
    kind: ObjectKind,
}

impl Inspected {
    pub(crate) fn of(object: &Object, sections: Json) -> Self {
        Self { name: object.name.clone(), id: short_id(&object.id), sections, kind: object.kind }
    }
}

impl Summary for Inspected {
    fn summary(&self) -> String {
        format!("{} \"{}\" ({})", self.kind.as_str(), self.name, self.id)
    }
}
