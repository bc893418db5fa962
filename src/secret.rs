//! A value that never prints, logs or serialises itself, and the store of the operator's own.

use std::{collections::BTreeMap, fmt, path::PathBuf};

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
        let plain = !name.is_empty()
            && name.len() <= 100
            && !name.starts_with('.')
            && name.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character));
        if !plain {
            return Err(Error::invalid(format!("{name:?} is no name of a secret"))
                .hint("letters, digits, \"_\", \".\" and \"-\"; at most 100 characters"));
        }
        let spelled = name.to_ascii_uppercase().replace(['-', '.'], "_");
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
