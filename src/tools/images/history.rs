//! How an image was made, step by step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, Target},
    error::Result,
    tool::{
        Access, Call, Plan, Summary, Tool,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
    tools::view::{bytes, clipped, few, short_id, text, texts, timestamp},
};

/// The longest instruction that is shown.
const LONGEST: usize = 300;
/// How many tags of a step are shown.
const TAGS: usize = 20;

/// Shows how an image was made: its build steps (Dockerfile instructions) with sizes, the newest first.
///
/// Values of variables are masked.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageHistory {
    /// Reference or id.
    image: String,
    /// Steps. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct History {
    image: String,
    id: String,
    steps: Vec<Layer>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
struct Layer {
    /// 0 is the newest.
    step: usize,
    created_by: String,
    size: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
}

impl Summary for History {
    fn summary(&self) -> String {
        format!("{} of image \"{}\"{}", count(self.steps.len(), "step"), self.image, self.page.rest())
    }
}

impl Tool for ImageHistory {
    const NAME: &'static str = "image_history";
    const ACCESS: Access = Access::READ;
    type Output = History;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.image("image", &self.image).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<History> {
        let object = plan.object()?;
        let history = docker.json(Target::new(format!("/images/{}/history", object.id))).await?;
        let steps = history.as_array().into_iter().flatten().enumerate().map(|(number, layer)| step(number, layer));
        // An image never changes, so the number of a step is a key that stays.
        let key = |step: &Layer| format!("{:06}", step.step);
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: self.limit, usual: 50, taken: 0 };
        let (steps, page) = paged(steps.collect(), key, wanted, call.cursors())?;
        Ok(History { image: object.name.clone(), id: short_id(&object.id), steps, page })
    }
}

fn step(number: usize, layer: &Value) -> Layer {
    Layer {
        step: number,
        created_by: clipped(text(layer, "CreatedBy"), LONGEST),
        size: bytes(layer.get("Size").and_then(Value::as_u64).unwrap_or_default()),
        created: layer.get("Created").and_then(Value::as_i64).and_then(timestamp),
        id: Some(text(layer, "Id")).filter(|id| !id.is_empty() && *id != "<missing>").map(short_id),
        tags: few(texts(layer, "Tags").map(|tag| clipped(tag, LONGEST)).collect(), TAGS),
        comment: clipped(text(layer, "Comment"), LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_future_is_still_a_step() {
        let layer = serde_json::json!({"CreatedBy": null, "Id": "<missing>", "Size": -1, "Tags": null, "New": 1});
        let step = step(3, &layer);
        assert_eq!((step.step, step.id, step.created_by.as_str()), (3, None, ""));
    }
}
