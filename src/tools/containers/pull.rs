//! The image of a new container: is it there, and if not, its pull.

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::TryStreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{Docker, names},
    error::{Error, Kind, Result},
    redact,
    tool::{Call, Object, Progress},
    tools::view::text,
};

/// When the image is pulled first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pull {
    #[default]
    Missing,
    Always,
    Never,
}

/// The image as it is there now, and whether it has to be pulled.
pub(super) async fn look(
    reading: &Docker,
    reference: &str,
    platform: Option<&str>,
    pull: Pull,
) -> Result<(Option<Object>, bool)> {
    match reading.image("image", reference).await {
        Ok(image) if pull == Pull::Missing => {
            let fits = platform.is_none_or(|platform| fits(&image, platform));
            Ok((Some(image), !fits))
        }
        Ok(image) => Ok((Some(image), pull == Pull::Always)),
        Err(error) if error.kind() == Kind::NotFound && pull == Pull::Never => {
            Err(error.hint("set \"pull\" to \"missing\" to have it pulled"))
        }
        Err(error) if error.kind() == Kind::NotFound && !is_id(reference) => Ok((None, true)),
        Err(error) => Err(error),
    }
}

/// Pulls an image; an error in the middle of the stream is an error.
pub(super) async fn pull(docker: &Docker, reference: &str, platform: Option<&str>, call: &Call) -> Result<()> {
    let (name, tag) = split(reference);
    let mut options = CreateImageOptionsBuilder::new().from_image(name).tag(tag);
    if let Some(platform) = platform {
        options = options.platform(platform);
    }
    let typed = docker.typed().await?;
    let mut steps = typed.create_image(Some(options.build()), None, None);
    while let Some(step) = steps.try_next().await.map_err(|error| {
        let error = Error::from(error);
        let hint = error.hint_text().unwrap_or("is the name right, and does the registry let this host in?").to_owned();
        Error::new(error.kind(), format!("cannot pull {}: {}", names::quote(reference), error.message()))
            .hint(hint)
            .detail(error.detail_text().unwrap_or_default())
    })? {
        let message = [step.id, step.status].into_iter().flatten().map(|part| redact::plain(&part)).collect::<Vec<_>>();
        call.progress(Progress { message: message.join(" "), ..Progress::default() });
    }
    Ok(())
}

/// Whether an image that is there is one for the platform `os[/architecture[/variant]]`.
fn fits(image: &Object, platform: &str) -> bool {
    let mut wanted = platform.split('/');
    ["Os", "Architecture", "Variant"].into_iter().all(|field| {
        let (wanted, is) = (wanted.next(), text(&image.facts, field));
        wanted.is_none_or(|wanted| is.eq_ignore_ascii_case(wanted) || (field == "Variant" && is.is_empty()))
    })
}

/// The name, and the tag or digest; without one the engine would pull every tag.
pub(super) fn split(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (name, digest);
    }
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

/// Whether it can only be an id, which no registry knows.
fn is_id(reference: &str) -> bool {
    let digits = reference.strip_prefix("sha256:");
    digits.unwrap_or(reference).chars().all(|character| character.is_ascii_hexdigit())
        && (digits.is_some() || reference.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_names_one_tag() {
        let digest = format!("a/b@sha256:{}", "a".repeat(64));
        for (reference, name, tag) in [
            ("nginx", "nginx", "latest"),
            ("nginx:1.27", "nginx", "1.27"),
            ("127.0.0.1:5000/lab/base", "127.0.0.1:5000/lab/base", "latest"),
            ("127.0.0.1:5000/lab/base:1", "127.0.0.1:5000/lab/base", "1"),
            (&digest, "a/b", &digest[4..]),
        ] {
            assert_eq!(split(reference), (name, tag), "{reference}");
        }
    }

    #[test]
    fn ids_are_not_pulled() {
        assert!(is_id("sha256:0123abcd") && is_id(&"a".repeat(64)));
        assert!(!is_id("nginx") && !is_id("cafe") && !is_id("sha256"));
    }
}
