//! An image made of a tar of files.

use std::{sync::atomic::Ordering, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PERMISSION;
use crate::{
    docker::{
        Docker, Target,
        names::{self, quote},
        reason,
    },
    error::{Error, Result},
    files::{Archived, checked},
    tool::{Access, BodyKind, Call, Course, LONGEST_JOB, Plan, Summary, Tool},
    tools::{
        pull::reference::Reference,
        transfer::{IDLE, told},
        view::{bytes, short_id, text},
    },
};

/// Makes an image of one layer out of a tar of a root file system, such as `export_container` makes.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportImage {
    /// The new image's reference; without a tag it is `latest`.
    image: String,
    /// The tar, or tar.gz, below `files.roots`.
    #[serde(default)]
    from: Option<String>,
    /// In its place: where the daemon fetches the tar itself.
    #[serde(default)]
    url: Option<String>,
    /// Dockerfile lines on top.
    #[serde(default)]
    changes: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Imported {
    image: String,
    id: String,
    /// What was sent; nothing where the daemon fetched it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

/// What the image is made of.
enum Origin<'a> {
    File(&'a str),
    Address(&'a str),
}

impl Summary for Imported {
    fn summary(&self) -> String {
        let made = self.bytes.map(|size| format!(" of {}", bytes(size))).unwrap_or_default();
        format!("image \"{}\" ({}) made{made}", self.image, self.id)
    }
}

impl ImportImage {
    fn origin(&self) -> Result<Origin<'_>> {
        match (&self.from, &self.url) {
            (Some(from), None) => Ok(Origin::File(from)),
            (None, Some(url)) => Ok(Origin::Address(url)),
            _ => Err(Error::invalid("one of the arguments \"from\" and \"url\" is needed, and not both")),
        }
    }

    fn reference(&self) -> Result<(&str, &str)> {
        let Reference { repository, tag, digest } = Reference::of(names::image("image", &self.image)?);
        if digest.is_some() || matches!(repository, "sha256" | "sha512") {
            return Err(Error::invalid(format!("argument \"image\": {} is a digest", quote(&self.image)))
                .hint("give a name, with a tag if needed"));
        }
        Ok((repository, tag.unwrap_or("latest")))
    }
}

impl Tool for ImportImage {
    const NAME: &'static str = "import_image";
    const ACCESS: Access = Access::mutate(PERMISSION);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Imported;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let (repository, tag) = self.reference()?;
        if let Some(line) = self.changes.iter().find(|line| line.trim().is_empty() || line.contains(['\n', '\r', '\0']))
        {
            return Err(Error::invalid(format!("argument \"changes\": {} is not one line", quote(line)))
                .hint("one instruction for each entry, such as \"ENV A=b\""));
        }
        match self.origin()? {
            Origin::File(from) => drop(call.files().open("from", from).await?),
            Origin::Address(url) => reading.may_fetch("url", url)?,
        }
        let plan = Plan::declared(Self::ACCESS).using(format!("{repository}:{tag}"));
        plan.sending(BodyKind::Commit, &serde_json::json!({"Changes": self.changes}))
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Imported> {
        let (repository, tag) = self.reference()?;
        let target = Target::new("/images/create").query("repo", repository).query("tag", tag);
        let target = self.changes.iter().fold(target, |target, line| target.query("changes", line));
        let (mut steps, sent) = match self.origin()? {
            Origin::File(from) => {
                let source = call.files().open("from", from).await?;
                let (tar, _) = checked(source.into_stream(), Archived::Files);
                let (tar, sent) = told(tar, None, call);
                (docker.upload(target.query("fromSrc", "-"), tar, IDLE).await?, Some(sent))
            }
            Origin::Address(url) => (docker.progress(target.query("fromSrc", url), IDLE).await?, None),
        };
        let mut id = None;
        while let Some(step) = steps.next().await? {
            if let Some(error) = reason(&step) {
                return Err(error);
            }
            let status = text(&step, "status");
            if status.starts_with("sha256:") {
                id = Some(short_id(status));
            }
        }
        let id = id.ok_or_else(|| Error::docker("the daemon does not say which image it made"))?;
        let bytes = sent.map(|sent| sent.load(Ordering::Relaxed));
        Ok(Imported { image: format!("{repository}:{tag}"), id, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn asked(image: &str, from: Option<&str>, url: Option<&str>) -> ImportImage {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        ImportImage { image: image.to_owned(), from: owned(from), url: owned(url), changes: Vec::new() }
    }

    #[test]
    fn one_source_and_a_plain_name() {
        assert!(matches!(asked("web", Some("a.tar"), None).origin(), Ok(Origin::File("a.tar"))));
        assert!(matches!(asked("web", None, Some("https://x/y")).origin(), Ok(Origin::Address("https://x/y"))));
        for (from, url) in [(None, None), (Some("a"), Some("b"))] {
            assert_eq!(asked("web", from, url).origin().err().map(|error| error.kind()), Some(Kind::Invalid));
        }
        assert_eq!(asked("web", None, None).reference().unwrap(), ("web", "latest"));
        assert_eq!(asked("127.0.0.1:5000/web:1", None, None).reference().unwrap(), ("127.0.0.1:5000/web", "1"));
        for image in ["sha256:0123456789ab", "web@sha256:0123456789abcdef0123456789abcdef", "a//b"] {
            assert!(asked(image, None, None).reference().is_err(), "{image}");
        }
    }
}
