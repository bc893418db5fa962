//! References to images, taken apart after their grammar was checked.

use std::fmt;

/// Docker Hub, as references name it in full.
const HUB: &str = "docker.io";

/// `[registry[:port]/]path[:tag][@digest]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    /// Registry and path.
    pub(crate) repository: &'a str,
    pub(crate) tag: Option<&'a str>,
    pub(crate) digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Takes a reference apart that [`super::names::image`] let through.
    pub(crate) fn of(text: &'a str) -> Self {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry's port.
        let path = name.rfind('/').map_or(0, |slash| slash + 1);
        match name.get(path..).and_then(|last| last.find(':')).and_then(|colon| name.split_at_checked(path + colon)) {
            Some((repository, tag)) => Self { repository, tag: tag.get(1..), digest },
            None => Self { repository: name, tag: None, digest },
        }
    }

    /// With what it leaves out, so that it stands for one image.
    ///
    /// Without a tag the engine would pull every one; beside a digest it ignores the tag.
    pub(crate) fn of_one(self) -> Self {
        let tag = if self.digest.is_some() { None } else { self.tag.or(Some("latest")) };
        Self { tag, ..self }
    }

    /// The registry that it names, or Docker Hub.
    pub(crate) fn registry(self) -> &'a str {
        match self.repository.split_once('/') {
            Some((first, _)) if is_registry(first) => first,
            _ => HUB,
        }
    }

    /// The registry, unless it is Docker Hub by any of its names.
    pub(crate) fn foreign_registry(self) -> Option<&'a str> {
        Some(self.registry()).filter(|registry| !matches!(*registry, HUB | "index.docker.io"))
    }

    /// Registry and path of a name on Docker Hub or elsewhere, as it is written in full and as people write it.
    fn repositories(self) -> Vec<String> {
        let path = match self.repository.split_once('/') {
            Some((first, rest)) if is_registry(first) => rest,
            _ => self.repository,
        };
        if let Some(registry) = self.foreign_registry() {
            // Names of machines mean the same in any case, paths do not.
            return vec![format!("{}/{path}", registry.to_ascii_lowercase())];
        }
        let familiar = path.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(path);
        let library = if familiar.contains('/') { "" } else { "library/" };
        vec![familiar.to_owned(), format!("{HUB}/{library}{familiar}")]
    }

    /// Every way to write what it means; see [`super::names::spellings`].
    pub(super) fn spellings(self) -> Vec<String> {
        let tails = match (self.tag, self.digest) {
            (None | Some("latest"), None) => vec![String::new(), ":latest".to_owned()],
            (Some(tag), None) => vec![format!(":{tag}")],
            (None, Some(digest)) => vec![format!("@{digest}")],
            // The engine ignores the tag; who wrote a glob for it does not.
            (Some(tag), Some(digest)) => vec![format!(":{tag}@{digest}"), format!("@{digest}"), format!(":{tag}")],
        };
        let repositories = self.repositories();
        repositories.iter().flat_map(|repository| tails.iter().map(move |tail| format!("{repository}{tail}"))).collect()
    }

    /// One form for all that mean the same: registry and tag written out, a digest instead of a tag.
    pub(crate) fn canonical(self) -> String {
        let path = match self.repository.split_once('/') {
            Some((first, rest)) if first == self.registry() => rest,
            // The old name of Docker Hub.
            Some(("index.docker.io", rest)) => rest,
            _ => self.repository,
        };
        let registry = match self.registry() {
            "index.docker.io" => "docker.io",
            registry => registry,
        };
        let library = if registry == "docker.io" && !path.contains('/') { "library/" } else { "" };
        match (self.digest, self.tag) {
            (Some(digest), _) => format!("{registry}/{library}{path}@{digest}"),
            (None, tag) => format!("{registry}/{library}{path}:{}", tag.unwrap_or("latest")),
        }
    }
}

/// Whether the first of several parts of a reference is a registry (the rule of the reference grammar, which
/// also takes capitals for one: no path has any).
pub(super) fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.contains(|letter: char| letter.is_ascii_uppercase())
}

impl fmt::Display for Reference<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.repository)?;
        self.tag.map_or(Ok(()), |tag| write!(formatter, ":{tag}"))?;
        self.digest.map_or(Ok(()), |digest| write!(formatter, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_has_a_tag_or_a_digest() {
        for (text, one) in [
            ("nginx", "nginx:latest"),
            ("nginx:1.27", "nginx:1.27"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
            ("127.0.0.1:5000/a:1", "127.0.0.1:5000/a:1"),
            ("a/b:1@sha256:00", "a/b@sha256:00"),
        ] {
            let reference = Reference::of(text);
            assert_eq!((reference.to_string().as_str(), reference.of_one().to_string().as_str()), (text, one));
        }
    }

    #[test]
    fn a_port_is_no_tag() {
        let parts = |text| {
            let Reference { repository, tag, digest } = Reference::of(text);
            (repository, tag, digest)
        };
        assert_eq!(parts("nginx"), ("nginx", None, None));
        assert_eq!(parts("127.0.0.1:5000/lab/base"), ("127.0.0.1:5000/lab/base", None, None));
        assert_eq!(parts("127.0.0.1:5000/lab/base:1"), ("127.0.0.1:5000/lab/base", Some("1"), None));
        assert_eq!(parts("a/b:1@sha256:00"), ("a/b", Some("1"), Some("sha256:00")));
    }

    #[test]
    fn names_of_the_same_image_are_equal() {
        let canonical = |text| Reference::of(text).canonical();
        for same in
            ["nginx", "nginx:latest", "library/nginx", "docker.io/nginx", "index.docker.io/library/nginx:latest"]
        {
            assert_eq!(canonical(same), "docker.io/library/nginx:latest", "{same}");
        }
        assert_eq!(canonical("ops/web:1"), "docker.io/ops/web:1");
        assert_eq!(canonical("localhost/web:1"), "localhost/web:1");
        assert_eq!(canonical("127.0.0.1:5000/a/b"), "127.0.0.1:5000/a/b:latest");
        assert_eq!(canonical("nginx:1@sha256:00"), "docker.io/library/nginx@sha256:00");
    }
}
