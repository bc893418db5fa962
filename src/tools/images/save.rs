//! Images as files of the gateway's machine: saved from one engine, loaded into another.

use std::{sync::atomic::Ordering, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PERMISSION, target::target};
use crate::{
    docker::{Docker, Target, names, reason},
    error::{Error, Result},
    files::{Archived, checked},
    redact,
    tool::{Access, Call, Course, LONGEST_JOB, Permission, Plan, Summary, Tool, text::count},
    tools::{
        outcome,
        transfer::{IDLE, keep, received, told},
        view::{bytes, clipped, few, short_id, text},
    },
};

/// As many names does an answer have.
const MOST_NAMES: usize = 100;

/// Saves images into a tar on the gateway's machine, for `load_image`.
///
/// By reference an image keeps its name.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SaveImage {
    /// References or ids.
    #[schemars(length(min = 1, max = 200))]
    images: Vec<String>,
    /// The new file, below `files.roots`.
    to: String,
    /// Replaces a file. Default: false.
    #[serde(default)]
    overwrite: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Saved {
    images: Vec<String>,
    to: String,
    bytes: u64,
}

impl Summary for Saved {
    fn summary(&self) -> String {
        format!("{} saved to \"{}\" ({})", count(self.images.len(), "image"), self.to, bytes(self.bytes))
    }
}

impl Tool for SaveImage {
    const NAME: &'static str = "save_image";
    const ACCESS: Access = Access::READ.always(Permission::Files);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Saved;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    /// Two names of one image are two things to save.
    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        outcome::some("images", &self.images)?;
        call.files().can_create("to", &self.to, self.overwrite).await?;
        let mut plan = Plan::declared(Self::ACCESS);
        for name in &self.images {
            let image = reading.image("images", name).await?;
            target("images", &image)?;
            plan.objects.push(image);
        }
        Ok(plan)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Saved> {
        let mut names = Vec::new();
        for image in &plan.objects {
            let name = target("images", image)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let draft = call.files().create("to", &self.to, self.overwrite).await?;
        let asked = names.iter().fold(Target::new("/images/get"), |asked, name| asked.query("names", name));
        // Engine 20.10 copies the layers before it says a word.
        let saved = docker.bytes(asked.patient(IDLE)).await?;
        let (tar, _) = checked(received(saved), Archived::Image(Box::new(|_| Ok(()))));
        let bytes = keep(tar, draft, call).await?;
        Ok(Saved { images: few(names, MOST_NAMES), to: self.to, bytes })
    }
}

/// Loads the images of a tar that `save_image` or `docker save` made.
///
/// Names move to the loaded ones.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadImage {
    /// The tar, or tar.gz, below `files.roots`.
    from: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Loaded {
    from: String,
    /// The names in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<String>,
    /// The ids in it, where the daemon tells them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ids: Vec<String>,
    /// What was sent.
    bytes: u64,
}

impl Summary for Loaded {
    fn summary(&self) -> String {
        let number = if self.ids.is_empty() { self.images.len() } else { self.ids.len() };
        format!("{} loaded from \"{}\"", count(number, "image"), self.from)
    }
}

impl Tool for LoadImage {
    const NAME: &'static str = "load_image";
    const ACCESS: Access = Access::mutate(PERMISSION);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Loaded;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, _: &Docker, call: &Call) -> Result<Plan> {
        call.files().open("from", &self.from).await?;
        Ok(Plan::declared(Self::ACCESS))
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Loaded> {
        let source = call.files().open("from", &self.from).await?;
        let host = docker.clone();
        let judge = move |name: &str| {
            let name = names::image("from", name)?;
            host.may_be_named(Some(name.to_owned()))
        };
        let (tar, _) = checked(source.into_stream(), Archived::Image(Box::new(judge)));
        let (tar, sent) = told(tar, None, call);
        let mut steps = docker.upload(Target::new("/images/load").query("quiet", "1"), tar, IDLE).await?;
        let (mut images, mut ids): (Vec<String>, Vec<String>) = Default::default();
        while let Some(step) = steps.next().await? {
            if let Some(error) = reason(&step) {
                return Err(error);
            }
            let words = redact::plain(text(&step, "stream"));
            for line in words.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("Loaded image: ")
                    && images.len() < MOST_NAMES
                {
                    images.push(clipped(name, 300));
                } else if let Some(id) = line.strip_prefix("Loaded image ID: ")
                    && ids.len() < MOST_NAMES
                {
                    ids.push(clipped(&short_id(id), 300));
                }
            }
        }
        if images.is_empty() && ids.is_empty() {
            return Err(Error::docker("the daemon loaded no image")
                .hint("the tar may hold none: only what \"save_image\" or \"docker save\" made can be loaded"));
        }
        Ok(Loaded { from: self.from, images, ids, bytes: sent.load(Ordering::Relaxed) })
    }
}
