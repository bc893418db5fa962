//! The image of a new container: is it there, and if not, its pull.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{Docker, names},
    error::{Error, Kind, Result},
    tool::{Call, Object},
    tools::{
        pull::{self, reference::Reference},
        view::text,
    },
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

/// Pulls the image of a new container; a failure says that it was the pull.
pub(super) async fn pull(docker: &Docker, image: &str, platform: Option<&str>, call: &Call) -> Result<()> {
    let pulled = pull::pull(docker, Reference::of(image).of_one(), platform, call).await;
    pulled.map(drop).map_err(|error| {
        let hint = error.hint_text().unwrap_or("is the name right, and does the registry let this host in?").to_owned();
        Error::new(error.kind(), format!("cannot pull {}: {}", names::quote(image), error.message()))
            .hint(hint)
            .detail(error.detail_text().unwrap_or_default())
    })
}

/// Whether an image that is there is one for the platform `os[/architecture[/variant]]`.
fn fits(image: &Object, platform: &str) -> bool {
    let mut wanted = platform.split('/');
    ["Os", "Architecture", "Variant"].into_iter().all(|field| {
        let (wanted, is) = (wanted.next(), text(&image.facts, field));
        wanted.is_none_or(|wanted| is.eq_ignore_ascii_case(wanted) || (field == "Variant" && is.is_empty()))
    })
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
    fn ids_are_not_pulled() {
        assert!(is_id("sha256:0123abcd") && is_id(&"a".repeat(64)));
        assert!(!is_id("nginx") && !is_id("cafe") && !is_id("sha256"));
    }
}
