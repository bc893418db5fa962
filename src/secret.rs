//! A value that never prints, logs or serialises itself, and the store of the operator's own.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// What stands in front of a secret's name where an argument means one.
pub const SCHEME: &str = "secret://";
/// The largest secret that is read, in bytes; the engine takes no larger one.
const LARGEST: u64 = 500 << 10;

/// A value that must not be seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value in.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Hands the value out, for the one request that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Random bytes of the system, for keys, ids and boundaries.
///
/// # Errors
/// `internal` when the system has none: nothing that rests on them may go on.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::internal("there are no random numbers"))?;
    Ok(bytes)
}

/// The operator's secrets, by name: files of one directory, and `QUAYMASTER_SECRET_*` variables.
///
/// They are named in arguments (`secret://NAME`), never typed.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    directory: Option<PathBuf>,
    variables: BTreeMap<String, Secret>,
}

impl Secrets {
    /// The files of a directory, and the variables whose name begins with `QUAYMASTER_SECRET_`.
    #[must_use]
    pub fn new(directory: Option<PathBuf>, variables: &BTreeMap<String, String>) -> Self {
        let own = |(name, value): (&String, &String)| {
            Some((name.strip_prefix("QUAYMASTER_SECRET_")?.to_owned(), Secret::new(value.as_str())))
        };
        Self { directory, variables: variables.iter().filter_map(own).collect() }
    }

    /// A secret by name: letters, digits, `_`, `.` and `-`; the variable counts before the file.
    ///
    /// # Errors
    /// `invalid` for a name that cannot be one, `not_found` with where it was looked for.
    pub fn named(&self, name: &str) -> Result<Secret> {
        let spelled = spelled(name)?;
        if let Some(secret) = self.variables.get(name).or_else(|| self.variables.get(&spelled)) {
            return Ok(secret.clone());
        }
        let missing = || {
            Error::not_found(format!("there is no secret {name:?}")).hint(format!(
                "ask the person to set QUAYMASTER_SECRET_{spelled}, or to put a file of that name into secrets.dir"
            ))
        };
        let path = self.directory.as_ref().ok_or_else(missing)?.join(name);
        let metadata = std::fs::metadata(&path).map_err(|_| missing())?;
        if !metadata.is_file() || metadata.len() > LARGEST {
            return Err(Error::invalid(format!("the secret {name:?} is no file of at most 500 KiB")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::config(format!("the secret {name:?} cannot be read")).detail(format!("{}: {error}", path.display()))
        })?;
        // Editors end a file with a line end that belongs to no secret.
        Ok(Secret::new(text.strip_suffix('\n').unwrap_or(&text)))
    }

    /// Where a secret of that name can be kept: to be asked before there is one to keep.
    ///
    /// # Errors
    /// `invalid` for a name that cannot be one, `conflict` where a variable has it, `config` without a directory.
    pub fn place(&self, name: &str) -> Result<PathBuf> {
        let spelled = spelled(name)?;
        if self.variables.contains_key(name) || self.variables.contains_key(&spelled) {
            return Err(Error::conflict(format!("there is a secret {name:?} already"))
                .hint(format!("QUAYMASTER_SECRET_{spelled} counts before a file: take another name")));
        }
        let directory = self.directory.as_ref().ok_or_else(|| {
            Error::config("there is no directory to keep a secret in")
                .hint("ask the person to set [secrets] dir in the configuration")
        })?;
        Ok(directory.join(name))
    }

    /// Keeps a secret as a file that only its owner can read.
    ///
    /// What is kept under the name already stays, unless it is the same, or `outdated` says of it that the new one
    /// takes its place.
    ///
    /// # Errors
    /// Those of [`Secrets::place`], `conflict` where something else is kept there, `config` where nothing can be.
    pub fn keep(&self, name: &str, secret: &Secret, outdated: impl Fn(&str) -> bool) -> Result<()> {
        let path = self.place(name)?;
        let failed = |error: &io::Error| {
            Error::config(format!("the secret {name:?} cannot be kept"))
                .hint("ask the person to make secrets.dir a directory that Quaymaster can write to")
                .detail(format!("{}: {error}", path.display()))
        };
        match write_new(&path, secret) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            written => return written.map_err(|error| failed(&error)),
        }
        let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= LARGEST);
        let kept = is_file.then(|| fs::read_to_string(&path).ok()).flatten();
        if !kept.is_some_and(|kept| kept == secret.expose() || outdated(&kept)) {
            return Err(Error::conflict(format!("something else is kept as the secret {name:?} already"))
                .hint("take another name, or ask the person to remove that file"));
        }
        let beside = path.with_file_name(format!(".{name}.{:016x}", u64::from_be_bytes(random()?)));
        let replaced = write_new(&beside, secret).and_then(|()| fs::rename(&beside, &path));
        replaced.map_err(|error| {
            fs::remove_file(&beside).ok();
            failed(&error)
        })
    }
}

/// How a variable spells a secret's name: the part behind `QUAYMASTER_SECRET_`.
fn spelled(name: &str) -> Result<String> {
    let plain = !name.is_empty()
        && name.len() <= 100
        && !name.starts_with('.')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character));
    if !plain {
        return Err(Error::invalid(format!("{name:?} is no name of a secret"))
            .hint("letters, digits, \"_\", \".\" and \"-\"; at most 100 characters"));
    }
    Ok(name.to_ascii_uppercase().replace(['-', '.'], "_"))
}

/// Writes a file that was not there, for its owner only; one that cannot be written whole does not stay.
fn write_new(path: &Path, secret: &Secret) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(secret.expose().as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        fs::remove_file(path).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn what_is_kept_is_for_its_owner_and_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let variables = BTreeMap::from([("QUAYMASTER_SECRET_TAKEN".to_owned(), "x".to_owned())]);
        let secrets = Secrets::new(Some(directory.path().to_owned()), &variables);
        let keep = |name: &str, text: &str, outdated: bool| secrets.keep(name, &Secret::new(text), |_| outdated);
        let kept = || secrets.named("token").unwrap().expose().to_owned();
        keep("token", "one", false).unwrap();
        keep("token", "one", false).unwrap();
        assert_eq!(keep("token", "two", false).unwrap_err().kind(), Kind::Conflict);
        assert_eq!(kept(), "one");
        keep("token", "two", true).unwrap();
        let mode = |name: &str| fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((kept().as_str(), mode("token")), ("two", 0o600));
        // Neither a link nor a directory is written through, whatever is said of it.
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), directory.path().join("link")).unwrap();
        fs::create_dir(directory.path().join("folder")).unwrap();
        for name in ["link", "folder", "taken"] {
            assert_eq!(keep(name, "three", true).unwrap_err().kind(), Kind::Conflict, "{name}");
        }
        assert_eq!(fs::read_to_string(elsewhere.path()).unwrap(), "");
        for name in ["", "../up", "a/b", ".hidden"] {
            assert_eq!(keep(name, "three", true).unwrap_err().kind(), Kind::Invalid, "{name}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3, "nothing stays beside");
        let nowhere = Secrets::new(None, &variables).keep("token", &Secret::new("one"), |_| true);
        assert_eq!(nowhere.unwrap_err().kind(), Kind::Config);
    }

    #[test]
    fn secrets_come_from_variables_and_files_by_name_only() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("db"), "from-file\n").unwrap();
        let variables = BTreeMap::from([("QUAYMASTER_SECRET_API_KEY".to_owned(), "from-variable".to_owned())]);
        let secrets = Secrets::new(Some(directory.path().to_owned()), &variables);
        assert_eq!(secrets.named("db").unwrap().expose(), "from-file");
        assert_eq!(secrets.named("api-key").unwrap().expose(), "from-variable");
        for name in ["", "../db", "a/b", ".hidden", "none"] {
            assert!(secrets.named(name).is_err(), "{name}");
        }
        assert!(!format!("{secrets:?}").contains("from-"));
    }
}
