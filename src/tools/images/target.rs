//! What a request names that is about one name of an image, or about the image itself.

use crate::{
    docker::names::{self, quote},
    error::{Error, Result},
    tool::Object,
    tools::{pull::reference::Reference, view::texts},
};

/// What the request names.
///
/// Elsewhere a request carries the full id. Here the id would mean something else than was asked
/// for: the engine deletes an image by id together with all its names (with `force`) or refuses
/// (without), but by reference it takes away that one name; it saves an image by id without any
/// name, by reference with that one. So a caller who wrote a reference gets exactly that
/// reference, as the resolved image itself lists it; a caller who wrote an id gets the full id. A
/// name that moves to another image in between is the price: the engine has no request that names
/// both.
pub(super) fn target(argument: &str, image: &Object) -> Result<String> {
    let asked = Reference::of(&image.asked).canonical();
    let mut known = texts(&image.facts, "RepoTags").chain(texts(&image.facts, "RepoDigests"));
    if let Some(reference) = known.find(|known| Reference::of(known).canonical() == asked) {
        return names::image(argument, reference).map(str::to_owned);
    }
    let digits = |id: &str| id.strip_prefix("sha256:").unwrap_or(id).to_owned();
    if digits(&image.id).starts_with(&digits(&image.asked)) {
        return Ok(image.id.clone());
    }
    Err(Error::conflict(format!("{} is neither a name nor the id of the image that it leads to", quote(&image.asked)))
        .hint("name it by one of its references or by its id; list_images shows them"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{error::Kind, tool::ObjectKind};

    fn asked(text: &str) -> Result<String> {
        let facts = json!({"RepoTags": ["nginx:latest", "127.0.0.1:5000/web:1"], "RepoDigests": ["nginx@sha256:0a"]});
        let image = Object::listed(ObjectKind::Image, "sha256:ec27ff71eefe".into(), "nginx:latest".into(), facts);
        target("images", &Object { asked: text.to_owned(), ..image })
    }

    #[test]
    fn a_reference_takes_away_that_name_only() {
        assert_eq!(asked("nginx").unwrap(), "nginx:latest");
        assert_eq!(asked("docker.io/library/nginx:latest").unwrap(), "nginx:latest");
        assert_eq!(asked("127.0.0.1:5000/web:1").unwrap(), "127.0.0.1:5000/web:1");
        // The grammar of a digest is checked again, and this one is too short.
        assert!(asked("nginx@sha256:0a").is_err());
    }

    #[test]
    fn an_id_means_the_whole_image() {
        for id in ["sha256:ec27ff71eefe", "ec27ff71eefe", "ec27"] {
            assert_eq!(asked(id).unwrap(), "sha256:ec27ff71eefe", "{id}");
        }
        assert_eq!(asked("other:1").unwrap_err().kind(), Kind::Conflict);
    }
}
