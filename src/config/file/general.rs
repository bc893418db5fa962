//! The keys of the file that are about no host: registries, approvals, and where things are kept.

use std::path::{Path, PathBuf};

use globset::Glob;
use serde::Deserialize;
use toml::Spanned;

use super::{
    Document,
    host::{Misplaced, checked},
    limits::CLI_CONFIG,
};
use crate::{
    config::{
        AuditSettings, FileSettings, RegistryConfig,
        anchor::Anchor,
        refusal::{no_control_characters, quoted, refusal},
    },
    error::Result,
};

/// A file of the audit is never closed below this size, in bytes.
const SMALLEST: u64 = 64 << 10;
/// Nor is it ever allowed to grow beyond this one.
const LARGEST: u64 = 4 << 30;
/// As many closed files of the audit can be kept.
const MOST_KEPT: usize = 10_000;

/// `[audit]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audit {
    directory: Option<Spanned<String>>,
    size: Option<Spanned<String>>,
    keep: Option<Spanned<i64>>,
}

/// `[secrets]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secrets {
    dir: Option<Spanned<String>>,
}

/// `[files]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Files {
    roots: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    allow: Vec<Spanned<String>>,
}

/// What is set beside hosts and limits.
#[derive(Debug, Default)]
pub(in crate::config) struct General {
    /// Registries that are vouched for.
    pub(in crate::config) registries: Vec<RegistryConfig>,
    /// The state directory, instead of the usual one.
    pub(in crate::config) state: Option<PathBuf>,
    /// The verifier of approvals; whether it makes sense is for those who use it to say.
    pub(in crate::config) approval_passphrase: Option<String>,
    /// How the audit is kept.
    pub(in crate::config) audit: AuditSettings,
    /// The directory of secrets.
    pub(in crate::config) secrets: Option<PathBuf>,
    /// Which files of this machine arguments may name.
    pub(in crate::config) files: FileSettings,
    /// Whether tools see the operator's own configuration of the docker CLI.
    pub(in crate::config) cli_config: bool,
}

impl Document {
    /// Checks it.
    pub(super) fn general(&self, anchor: Anchor<'_>) -> Result<General, Misplaced> {
        let directory =
            |text: Option<&Spanned<String>>| text.map(|text| checked(text, |text| directory(text, anchor))).transpose();
        let mut registries: Vec<RegistryConfig> = Vec::new();
        for written in &self.registries {
            let registry = checked(written, |registry| registry.checked(anchor))?;
            match registries.iter().find(|known| known.host == registry.host) {
                None => registries.push(registry),
                Some(known) if *known == registry => {}
                Some(_) => {
                    let what = format!("registry {} is given twice", quoted(&registry.host));
                    return Err((written.span().start, refusal(what, "remove one of them")));
                }
            }
        }
        let usual = AuditSettings::default();
        let written = self.audit.as_ref();
        let audit = AuditSettings {
            directory: directory(written.and_then(|audit| audit.directory.as_ref()))?,
            size: match written.and_then(|audit| audit.size.as_ref()) {
                Some(text) => checked(text, |text| size(text))?,
                None => usual.size,
            },
            keep: match written.and_then(|audit| audit.keep.as_ref()) {
                Some(number) => checked(number, |number| kept(*number))?,
                None => usual.keep,
            },
        };
        Ok(General {
            registries,
            state: directory(self.state.as_ref())?,
            approval_passphrase: match &self.approval_passphrase {
                Some(text) => Some(checked(text, |text| verifier(text))?),
                None => None,
            },
            audit,
            secrets: directory(self.secrets.as_ref().and_then(|secrets| secrets.dir.as_ref()))?,
            files: self.files.as_ref().map(|files| files.checked(anchor)).transpose()?.unwrap_or_default(),
            cli_config: self.grant.iter().any(|word| word.get_ref() == CLI_CONFIG),
        })
    }
}

impl Files {
    fn checked(&self, anchor: Anchor<'_>) -> Result<FileSettings, Misplaced> {
        let roots = self.roots.as_ref().map(|roots| {
            roots.iter().map(|text| checked(text, |text| directory(text, anchor))).collect::<Result<_, _>>()
        });
        let glob = |text: &Spanned<String>| {
            checked(text, |text| {
                no_control_characters(text)?;
                match Glob::new(text) {
                    Ok(_) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
                    _ => Err(refusal(format!("{} is no glob", quoted(text)), "write a name such as \".env.example\"")),
                }
            })
        };
        Ok(FileSettings { roots: roots.transpose()?, allow: self.allow.iter().map(glob).collect::<Result<_, _>>()? })
    }
}

/// A directory of this machine.
fn directory(text: &str, anchor: Anchor<'_>) -> Result<PathBuf> {
    no_control_characters(text)?;
    match text.trim() {
        "" => Err(refusal("the directory is empty", "name one, or remove the key")),
        text => anchor.path(Path::new(text)),
    }
}

/// What proves a passphrase; a refusal never repeats it, since somebody may have written the passphrase itself.
fn verifier(text: &str) -> Result<String> {
    if text.trim().is_empty() || text.contains(char::is_control) {
        return Err(refusal("approval_passphrase is no verifier", "make one with \"quaymaster approve --passphrase\""));
    }
    Ok(text.trim().to_owned())
}

/// A size such as `64m`, in bytes.
fn size(text: &str) -> Result<u64> {
    let refused =
        || refusal(format!("{} is no size for files", quoted(text)), "write such as \"64m\": from \"64k\" to \"4g\"");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(['k', 'm', 'g']);
    let shift = match lower.strip_prefix(digits) {
        Some("") => 0,
        Some("k") => 10,
        Some("m") => 20,
        Some("g") => 30,
        _ => return Err(refused()),
    };
    if digits.is_empty() || !digits.chars().all(|character| character.is_ascii_digit()) {
        return Err(refused());
    }
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.filter(|size| (SMALLEST..=LARGEST).contains(size)).ok_or_else(refused)
}

/// How many closed files are kept; the chain of a new file begins with the last, so one always is.
fn kept(number: i64) -> Result<usize> {
    let kept = usize::try_from(number).ok().filter(|number| (1..=MOST_KEPT).contains(number));
    kept.ok_or_else(|| refusal(format!("{number} files cannot be kept"), "give a number from 1 to 10000"))
}
