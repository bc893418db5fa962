//! How an image was made, step by step, with the values of its variables and build arguments masked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, Target},
    error::Result,
    redact,
    tool::{
        Access, Call, Plan, Summary, Tool,
        page::{Cursor, Page, paged},
        text::count,
    },
    tools::view::{bytes, clipped, short_id, text, texts, timestamp},
};

/// The longest instruction that is shown.
const LONGEST: usize = 300;

/// Shows how an image was made: its build steps (Dockerfile instructions) with sizes, the newest first.
///
/// The values of variables and build arguments are masked.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageHistory {
    /// Reference or id.
    image: String,
    /// At most this many steps. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// Goes on where the answer before was cut.
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

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<History> {
        let object = plan.object()?;
        let history = docker.json(Target::new(format!("/images/{}/history", object.id))).await?;
        let steps = history.as_array().into_iter().flatten().enumerate().map(|(number, layer)| step(number, layer));
        // An image never changes, so the number of a step is a key that stays.
        let key = |step: &Layer| format!("{:06}", step.step);
        let (steps, page) = paged(steps.collect(), key, self.cursor.as_ref(), self.limit.unwrap_or(50))?;
        Ok(History { image: object.name.clone(), id: short_id(&object.id), steps, page })
    }
}

fn step(number: usize, layer: &Value) -> Layer {
    Layer {
        step: number,
        created_by: clipped(&masked(&redact::shown(text(layer, "CreatedBy"))), LONGEST),
        size: bytes(layer.get("Size").and_then(Value::as_u64).unwrap_or_default()),
        created: layer.get("Created").and_then(Value::as_i64).and_then(timestamp),
        id: Some(text(layer, "Id")).filter(|id| !id.is_empty() && *id != "<missing>").map(short_id),
        tags: texts(layer, "Tags").map(str::to_owned).collect(),
        comment: clipped(text(layer, "Comment"), LONGEST),
    }
}

/// Masks the values of `ENV`, `ARG` and of the build arguments of `RUN`; their names stay.
///
/// The classic builder writes `/bin/sh -c #(nop)  ENV A=b` and `|1 A=b /bin/sh -c make`, BuildKit
/// `ENV A=b` and `RUN |1 A=b /bin/sh -c make # buildkit`; neither quotes a value with blanks in it,
/// so what follows a value counts as a part of it unless it looks like the next name.
pub(super) fn masked(instruction: &str) -> String {
    // The document came masked: blanks in a mask are none between variables.
    if instruction.contains("<redacted len=") {
        return instruction.to_owned();
    }
    let body = instruction.trim_start();
    let body = body.strip_prefix("/bin/sh -c #(nop)").unwrap_or(body).trim_start();
    let body = body.strip_prefix("ONBUILD ").unwrap_or(body).trim_start();
    let (front, _) = instruction.split_at_checked(instruction.len() - body.len()).unwrap_or_default();
    if let Some((keyword, rest)) = body.split_once(char::is_whitespace)
        && (keyword.eq_ignore_ascii_case("ENV") || keyword.eq_ignore_ascii_case("ARG"))
    {
        return format!("{front}{keyword} {}", assignments(rest, keyword.eq_ignore_ascii_case("ARG")));
    }
    let arguments = body.strip_prefix("RUN ").unwrap_or(body);
    if let Some(rest) = arguments.strip_prefix('|')
        && let Some((number, rest)) = rest.split_once(' ')
        && number.chars().all(|character| character.is_ascii_digit())
    {
        let run = if arguments.len() < body.len() { "RUN " } else { "" };
        let (given, command) = rest.split_at_checked(shell(rest).unwrap_or(rest.len())).unwrap_or((rest, ""));
        let blank = if command.is_empty() { "" } else { " " };
        return format!("{front}{run}|{number} {}{blank}{command}", assignments(given.trim_end(), false));
    }
    instruction.to_owned()
}

/// Masks `A=b C=d e`; with `bare`, words before the first value are names without one.
fn assignments(text: &str, bare: bool) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for word in text.split(' ') {
        let assignment = word.split_once('=').filter(|(name, _)| is_name(name));
        match (assignment, &mut open) {
            (Some((name, value)), _) => {
                shown.extend(open.take().map(|(name, value)| hide(name, &value)));
                open = Some((name, value.to_owned()));
            }
            (None, Some((_, value))) => {
                value.push(' ');
                value.push_str(word);
            }
            (None, None) if bare && is_name(word) => shown.push(word.to_owned()),
            // `ENV NAME value`, the old form.
            (None, None) if is_name(word) => open = Some((word, String::new())),
            (None, None) => shown.push(redact::mask(word)),
        }
    }
    shown.extend(open.map(|(name, value)| hide(name, &value)));
    shown.join(" ")
}

fn hide(name: &str, value: &str) -> String {
    format!("{name}={}", redact::mask(value))
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && word.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character))
}

/// Where the shell of a `RUN` begins: a word with a slash in front, followed by an option.
fn shell(text: &str) -> Option<usize> {
    let mut start = 0;
    let mut candidate = None;
    for word in text.split(' ') {
        if word.starts_with('-') && candidate.is_some() {
            return candidate;
        }
        candidate = word.starts_with('/').then_some(start);
        start += word.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_and_names_stay() {
        for (instruction, secrets, kept) in [
            (
                "/bin/sh -c #(nop)  ENV TOKEN=hunter2 MODE=dev fast",
                &["hunter2", "dev", "fast"][..],
                "#(nop)  ENV TOKEN=",
            ),
            ("ENV PASSPHRASE=correct horse battery", &["correct", "horse", "battery"], "ENV PASSPHRASE="),
            ("ENV OLD hunter2", &["hunter2"], "ENV OLD="),
            ("ARG NPM_TOKEN=hunter2", &["hunter2"], "ARG NPM_TOKEN="),
            ("ARG ONLY_A_NAME", &[], "ARG ONLY_A_NAME"),
            ("/bin/sh -c #(nop)  ARG ONLY_A_NAME", &[], "ARG ONLY_A_NAME"),
            ("|2 A=hunter2 B=x y /bin/sh -c make all", &["hunter2", "x y"], "/bin/sh -c make all"),
            (
                "RUN |1 A=hunter2 /bin/bash -o pipefail -c make # buildkit",
                &["hunter2"],
                "/bin/bash -o pipefail -c make",
            ),
            ("RUN |1 A=hunter2 with no shell", &["hunter2", "shell"], "RUN |1 A="),
            ("ONBUILD ENV A=hunter2", &["hunter2"], "ONBUILD ENV A="),
            ("ENV =hunter2", &["hunter2"], "ENV "),
        ] {
            let shown = masked(instruction);
            assert!(shown.contains(kept), "{instruction}: {shown}");
            assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{instruction}: {shown}");
        }
    }

    #[test]
    fn other_instructions_stay_as_they_are() {
        for instruction in
            ["", "COPY a b", "/bin/sh -c #(nop) CMD [\"sh\"]", "RUN /bin/sh -c A=b make", "ENVIRONMENT A=b"]
        {
            assert_eq!(masked(instruction), instruction);
        }
    }

    #[test]
    fn a_step_of_the_future_is_still_a_step() {
        let layer = serde_json::json!({"CreatedBy": null, "Id": "<missing>", "Size": -1, "Tags": null, "New": 1});
        let step = step(3, &layer);
        assert_eq!((step.step, step.id, step.created_by.as_str()), (3, None, ""));
    }
}
