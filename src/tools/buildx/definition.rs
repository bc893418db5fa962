//! What is to be built: targets with typed settings, and what of them is refused by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::names::{self, quote},
    error::{Error, Result},
    secret::SCHEME,
};

/// The settings of an output that say nothing of this machine.
const OUTPUT: &[&str] =
    &["type", "push", "name", "compression", "compression-level", "force-compression", "oci-mediatypes"];
/// Those of a cache in a registry, or in the image itself.
const CACHE: &[&str] = &[
    "type",
    "ref",
    "mode",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "image-manifest",
    "ignore-error",
];
/// Those of an attestation.
const ATTEST: &[&str] = &["type", "mode", "disabled", "version"];

/// A target as bake renders it. What is not in here is refused by its name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Target {
    pub(super) context: Option<String>,
    pub(super) contexts: BTreeMap<String, String>,
    pub(super) dockerfile: Option<String>,
    pub(super) dockerfile_inline: Option<String>,
    pub(super) args: BTreeMap<String, Option<String>>,
    pub(super) labels: BTreeMap<String, Option<String>>,
    pub(super) annotations: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) target: Option<String>,
    pub(super) platforms: Vec<String>,
    pub(super) no_cache: Option<bool>,
    pub(super) no_cache_filter: Vec<String>,
    pub(super) pull: Option<bool>,
    pub(super) shm_size: Option<String>,
    pub(super) ulimits: Vec<String>,
    pub(super) network: Option<String>,
    pub(super) secret: Vec<Value>,
    pub(super) ssh: Vec<Value>,
    pub(super) output: Vec<Value>,
    pub(super) cache_from: Vec<Value>,
    pub(super) cache_to: Vec<Value>,
    pub(super) attest: Vec<Value>,
    #[serde(skip_serializing)]
    pub(super) description: Option<String>,
    #[serde(skip_serializing)]
    pub(super) call: Option<String>,
}

/// `key=value` pairs of a setting, however it was written.
pub(super) type Pairs = BTreeMap<String, String>;

/// What a target's settings come to.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// `id` and the name of the operator's secret.
    pub(super) secrets: Vec<(String, String)>,
    pub(super) output: Vec<Pairs>,
    pub(super) cache_from: Vec<Pairs>,
    pub(super) cache_to: Vec<Pairs>,
    pub(super) attest: Vec<Pairs>,
    /// Images that they name.
    pub(super) images: Vec<String>,
}

impl Target {
    /// Looks at every setting that could lead out: `place` is how the target is called in a refusal.
    ///
    /// # Errors
    /// `invalid` for what makes no sense, `denied` for what leads out of the roots, both naming key and value.
    pub(super) fn settings(&self, place: &str) -> Result<Settings> {
        if !self.ssh.is_empty() {
            return Err(denied(place, "ssh", "keys and agents of this machine are not lent to a build"));
        }
        if self.call.as_deref().is_some_and(|call| call != "build") {
            return Err(Error::invalid(format!("{place}: \"call\" can only be \"build\"")).hint("leave it out"));
        }
        if let Some(network) = self.network.as_deref().filter(|network| !["default", "none"].contains(network)) {
            return Err(denied(
                place,
                "network",
                &format!("{} needs an entitlement, and none is given", quote(network)),
            ));
        }
        let mut settings = Settings::default();
        for secret in &self.secret {
            settings.secrets.push(secret_of(place, secret)?);
        }
        for output in &self.output {
            let output = pairs(place, "output", output, OUTPUT)?;
            if !matches!(kind(&output), "docker" | "image" | "registry" | "cacheonly") {
                return Err(denied(place, "output", "a build is pushed or loaded, and written nowhere else"));
            }
            settings.images.extend(output.get("name").into_iter().flat_map(|name| name.split(',')).map(str::to_owned));
            settings.output.push(output);
        }
        for (key, caches, known) in
            [("cache-from", &self.cache_from, "registry"), ("cache-to", &self.cache_to, "registry or inline")]
        {
            for cache in caches {
                let cache = match cache.as_str() {
                    // A reference alone is one in a registry.
                    Some(text) if !text.contains('=') && text != "inline" => {
                        [("type".to_owned(), "registry".to_owned()), ("ref".to_owned(), text.to_owned())].into()
                    }
                    _ => pairs(place, key, cache, CACHE)?,
                };
                if kind(&cache) != "registry" && !(key == "cache-to" && kind(&cache) == "inline") {
                    return Err(denied(place, key, &format!("only type {known} is carried")));
                }
                settings.images.extend(cache.get("ref").cloned());
                match key {
                    "cache-from" => settings.cache_from.push(cache),
                    _ => settings.cache_to.push(cache),
                }
            }
        }
        for attest in &self.attest {
            let attest = pairs(place, "attest", attest, ATTEST)?;
            if !matches!(kind(&attest), "provenance" | "sbom") {
                return Err(denied(place, "attest", "only provenance and sbom are made"));
            }
            settings.attest.push(attest);
        }
        for image in &settings.images {
            names::image(place, image)?;
        }
        self.words(place)?;
        Ok(settings)
    }

    /// What is one word each.
    fn words(&self, place: &str) -> Result<()> {
        let one = |key: &str, text: &str| {
            let odd = |letter: char| letter.is_control() || letter.is_whitespace();
            if text.is_empty() || text.starts_with('-') || text.chars().any(odd) {
                return Err(Error::invalid(format!("{place}: \"{key}\" has {}", quote(text))).hint("one word for each"));
            }
            Ok(())
        };
        for tag in &self.tags {
            names::image(place, tag)?;
            if tag.contains('@') || names::is_image_id(tag) {
                return Err(Error::invalid(format!("{place}: tag {} has a digest or is an id", quote(tag)))
                    .hint("a name is registry, path and tag"));
            }
        }
        self.target.iter().filter(|target| !target.is_empty()).try_for_each(|target| one("target", target))?;
        self.platforms.iter().try_for_each(|platform| one("platforms", platform))?;
        self.no_cache_filter.iter().try_for_each(|stage| one("no-cache-filter", stage))?;
        for name in self.args.keys().chain(self.labels.keys()) {
            if name.is_empty() || name.chars().any(char::is_control) || name.contains('=') {
                return Err(Error::invalid(format!("{place}: {} is no name", quote(name)))
                    .hint("a name without \"=\" and control characters"));
            }
        }
        if self.args.values().any(Option::is_none) {
            return Err(Error::invalid(format!("{place}: an argument has no value"))
                .hint("no build sees the variables of this machine: give each argument its value"));
        }
        // A program reads the text once more, and takes these for an escape.
        let texts = self.args.iter().chain(&self.labels).flat_map(|(name, value)| [Some(name), value.as_ref()]);
        let texts = texts.flatten().chain(&self.annotations).chain(&self.dockerfile_inline);
        if texts.into_iter().any(|text| text.contains("$${") || text.contains("%%{")) {
            return Err(Error::invalid(format!("{place}: \"$${{\" and \"%%{{\" cannot be carried"))
                .hint("give the Dockerfile as a file, or write it otherwise"));
        }
        Ok(())
    }
}

fn denied(place: &str, key: &str, why: &str) -> Error {
    Error::denied(format!("{place}: \"{key}\" is refused: {why}")).hint("leave it out; nothing was sent")
}

fn kind(pairs: &Pairs) -> &str {
    pairs.get("type").map_or("", String::as_str)
}

/// The pairs of `type=registry,ref=x`, or of an object with the same.
fn pairs(place: &str, key: &str, value: &Value, known: &[&str]) -> Result<Pairs> {
    let senseless = || {
        Error::invalid(format!("{place}: \"{key}\" has {}", quote(&value.to_string())))
            .hint("key=value pairs with commas between them")
    };
    let found: Pairs = match value {
        Value::String(text) if !text.contains('=') => [("type".to_owned(), text.clone())].into(),
        // A value that is quoted could hide a comma.
        Value::String(text) if !text.contains('"') => text
            .split(',')
            .map(|pair| pair.split_once('=').map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(senseless)?,
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name.to_lowercase(), text)
            })
            .collect(),
        _ => return Err(senseless()),
    };
    if let Some(unknown) = found.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(denied(place, key, &format!("{} is none of {}", quote(unknown), known.join(", "))));
    }
    if found.values().any(|value| value.contains(['"', ',', '\n']) && key != "output") {
        return Err(senseless());
    }
    Ok(found)
}

/// `id=NAME,src=secret://NAME`.
fn secret_of(place: &str, value: &Value) -> Result<(String, String)> {
    let pairs = pairs(place, "secret", value, &["id", "src", "source", "type", "env"])?;
    let id = pairs.get("id").map(String::as_str).unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    if id.is_empty() || !id.chars().all(plain) {
        return Err(
            Error::invalid(format!("{place}: secret {} has no plain id", quote(id))).hint("id=NAME,src=secret://NAME")
        );
    }
    let named = pairs.get("src").or_else(|| pairs.get("source")).and_then(|source| source.strip_prefix(SCHEME));
    match named.filter(|_| !pairs.contains_key("env")) {
        Some(name) => Ok((id.to_owned(), name.to_owned())),
        None => Err(denied(
            place,
            "secret",
            &format!("{} is no secret of the operator's: write src=secret://NAME", quote(id)),
        )),
    }
}

/// The pairs as buildx reads them.
pub(super) fn joined(pairs: &Pairs) -> String {
    let pair = |(name, value): (&String, &String)| {
        let pair = format!("{name}={value}");
        if value.contains(',') { format!("\"{pair}\"") } else { pair }
    };
    pairs.iter().map(pair).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Kind;

    fn settings(target: Value) -> Result<Settings> {
        serde_json::from_value::<Target>(target).unwrap().settings("target \"a\"")
    }

    #[test]
    fn what_leads_out_is_refused_by_its_key() {
        for (target, key) in [
            (json!({"ssh": ["default"]}), "ssh"),
            (json!({"ssh": [{"id": "default"}]}), "ssh"),
            (json!({"output": ["type=local,dest=/etc"]}), "output"),
            (json!({"output": ["type=local"]}), "output"),
            (json!({"output": [{"type": "tar"}]}), "output"),
            (json!({"output": ["type=docker,dest=/tmp/x.tar"]}), "output"),
            (json!({"output": ["/etc"]}), "output"),
            (json!({"cache-from": ["type=local,src=/etc"]}), "cache-from"),
            (json!({"cache-from": ["type=gha"]}), "cache-from"),
            (json!({"cache-from": ["inline"]}), "cache-from"),
            (json!({"cache-to": ["type=local,dest=/etc"]}), "cache-to"),
            (json!({"cache-to": [{"type": "s3", "ref": "x"}]}), "cache-to"),
            (json!({"secret": ["id=a,src=/etc/shadow"]}), "secret"),
            (json!({"secret": ["id=a,env=HOME"]}), "secret"),
            (json!({"secret": [{"id": "a", "src": "secret://x", "env": "HOME"}]}), "secret"),
            (json!({"attest": ["type=sbom,generator=evil"]}), "attest"),
            (json!({"network": "host"}), "network"),
        ] {
            let error = settings(target.clone()).unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{target}: {error}");
            assert!(error.message().contains(&format!("target \"a\": \"{key}\"")), "{target}: {error}");
        }
        for target in [json!({"entitlements": ["x"]}), json!({"policy": []}), json!({"Context": "/"})] {
            assert!(serde_json::from_value::<Target>(target.clone()).is_err(), "{target}");
        }
        for target in [
            json!({"tags": ["-x"]}),
            json!({"tags": ["a@sha256:0000000000000000000000000000000000000000000000000000000000000000"]}),
            json!({"target": "--push"}),
            json!({"platforms": ["linux/amd64 --x"]}),
            json!({"args": {"A": null}}),
            json!({"args": {"A": "$${x}"}}),
            json!({"call": "outline"}),
            json!({"output": ["type=image,\"name=a,b\",dest=/x"]}),
            json!({"cache-to": ["type=registry,ref=-x"]}),
        ] {
            assert_eq!(settings(target.clone()).unwrap_err().kind(), Kind::Invalid, "{target}");
        }
    }

    #[test]
    fn what_is_meant_comes_out_in_either_spelling() {
        for cache in [
            json!("lab/cache:1"),
            json!("type=registry,ref=lab/cache:1"),
            json!({"type": "registry", "ref": "lab/cache:1"}),
        ] {
            let settings = settings(json!({"cache-from": [cache], "cache-to": ["type=inline"]})).unwrap();
            assert_eq!(joined(&settings.cache_from[0]), "ref=lab/cache:1,type=registry");
            assert_eq!(
                (joined(&settings.cache_to[0]).as_str(), settings.images.as_slice()),
                ("type=inline", &["lab/cache:1".to_owned()][..])
            );
        }
        let settings = settings(json!({"secret": ["id=npm,src=secret://npm_token", {"id": "b", "src": "secret://x"}],
            "output": ["type=registry", {"type": "image", "push": true, "name": "a/b:1"}]}))
        .unwrap();
        assert_eq!(settings.secrets, [("npm".to_owned(), "npm_token".to_owned()), ("b".to_owned(), "x".to_owned())]);
        assert_eq!(joined(&settings.output[1]), "name=a/b:1,push=true,type=image");
    }
}
