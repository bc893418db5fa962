//! A private copy of what a project is made of, each file where it lies on this machine: what was checked is what a CLI reads.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
};

use serde_json::Value;
use tokio::io::AsyncReadExt;

use super::{
    Reader,
    named::{Named, Role, named, no_own_variable, no_own_variables},
};
use crate::{
    docker::{
        cli::{Cli, Private, Programs},
        names::quote,
    },
    error::{Error, Kind, Result},
    files::Files,
};

/// The most files that a project may be made of.
const MOST_FILES: usize = 200;
/// The largest file, in bytes.
const LARGEST: u64 = 1 << 20;
/// All of them together.
const ALL: u64 = 8 << 20;
/// The variables that compose reads by itself.
const VARIABLES: &str = ".env";

/// The copy, which goes with the last who holds it.
pub(super) struct Copies {
    private: Private,
}

impl Copies {
    /// An empty one, its owner's alone.
    pub(super) fn new(programs: &Programs) -> Result<Self> {
        Ok(Self { private: programs.private()? })
    }

    /// A run that reads the copy: it stays until the last process has gone, and nothing that is printed tells of it.
    pub(super) fn read_by(&self, cli: Cli) -> Cli {
        cli.holding(&self.private).unprefixed(self.prefix().display().to_string())
    }

    /// What stands in front of every path of the copy.
    pub(super) fn prefix(&self) -> &Path {
        self.private.path()
    }

    /// Where a file of this machine is in the copy.
    pub(super) fn place(&self, path: &Path) -> PathBuf {
        self.prefix().join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Writes one file, at the place that it has on this machine.
    pub(super) fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        let place = self.place(path);
        let write = || {
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&place)?;
            file.write_all(content)
        };
        write().map_err(|error| unwritten(&error))
    }

    /// Makes a directory that may hold nothing.
    pub(super) fn directory(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(self.place(path)).map_err(|error| unwritten(&error))
    }
}

fn unwritten(error: &std::io::Error) -> Error {
    Error::internal("a private copy of the project cannot be written")
        .hint("the disk or the temporary directory of Quaymaster's machine may be full; report it")
        .detail(error.to_string())
}

/// Copies files with everything that they name, each once.
pub(super) struct Copying<'a> {
    files: &'a Files,
    copies: &'a Copies,
    reader: Reader,
    read: BTreeMap<PathBuf, String>,
    size: u64,
}

impl<'a> Copying<'a> {
    pub(super) fn new(files: &'a Files, copies: &'a Copies, reader: Reader) -> Self {
        Self { files, copies, reader, read: BTreeMap::new(), size: 0 }
    }

    /// Copies compose files whose paths begin at a directory, and whatever they name.
    ///
    /// # Errors
    /// `denied` for what must not be read, naming the key and the path; `not_found`, `invalid`.
    pub(super) async fn compose(&mut self, files: &[PathBuf], base: &Path) -> Result<()> {
        let mut ahead: VecDeque<(String, PathBuf, PathBuf)> =
            files.iter().map(|file| ("files".to_owned(), file.clone(), base.to_owned())).collect();
        let mut seen = BTreeSet::new();
        self.variables(base).await?;
        while let Some((key, path, base)) = ahead.pop_front() {
            if !seen.insert((path.clone(), base.clone())) {
                continue;
            }
            let Some(text) = self.copy(&key, &path, true).await? else { continue };
            let document = checked(&path, &text)?;
            for Named { key, path: named, role } in named(&document).map_err(|error| error_in(&path, &error))? {
                let place = below(&base, &named);
                match role {
                    Role::Lines { required } => self.lines(&key, &place, required).await?,
                    Role::Base => {
                        let own = place.parent().unwrap_or(Path::new("/")).to_owned();
                        ahead.push_back((key, place, own));
                    }
                    Role::Included { directory } => {
                        let own = match directory {
                            Some(directory) => below(&base, &directory),
                            None => place.parent().unwrap_or(Path::new("/")).to_owned(),
                        };
                        self.variables(&own).await?;
                        ahead.push_back((key, place, own));
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks what YAML names that is no file itself, and copies it where a directory was given.
    ///
    /// # Errors
    /// As [`Copying::compose`]; `invalid` for a name without a directory.
    pub(super) async fn inline(&mut self, yaml: &str, base: &Path, has_directory: bool) -> Result<()> {
        let place = base.join(super::INLINE);
        if has_directory {
            self.read.insert(place.clone(), yaml.to_owned());
            return self.compose(&[place], base).await;
        }
        self.copies.directory(base)?;
        let document = checked(&place, yaml)?;
        match named(&document).map_err(|error| error_in(&place, &error))?.first() {
            None => Ok(()),
            Some(Named { key, path, .. }) => {
                Err(Error::invalid(format!("{} at {} is a file, and no directory was given", quote(path), quote(key)))
                    .hint("give \"directory\", below an allowed root"))
            }
        }
    }

    /// Compose reads a file of variables in a project's directory without being told to.
    async fn variables(&mut self, directory: &Path) -> Result<()> {
        let place = directory.join(VARIABLES);
        self.copies.directory(directory)?;
        if self.reader == Reader::Compose && tokio::fs::symlink_metadata(&place).await.is_ok() {
            self.lines(VARIABLES, &place, true).await?;
        }
        Ok(())
    }

    /// Copies lines of `NAME=value`, in whose values variables may stand.
    async fn lines(&mut self, key: &str, path: &Path, required: bool) -> Result<()> {
        let text = self.copy(key, path, required).await?.unwrap_or_default();
        let mut lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
        lines
            .try_for_each(|line| no_own_variable(line).and_then(|()| no_order(line)))
            .map_err(|error| error_in(path, &error))
    }

    /// Copies a file whatever it holds.
    ///
    /// # Errors
    /// As [`Copying::compose`].
    pub(super) async fn payload(&mut self, key: &str, path: &Path) -> Result<()> {
        let content = self.content(key, path).await?;
        self.copies.write(path, &content)
    }

    /// Copies one file, if it is there; answers what is in it.
    async fn copy(&mut self, key: &str, path: &Path, required: bool) -> Result<Option<String>> {
        if let Some(text) = self.read.get(path) {
            return Ok(Some(text.clone()));
        }
        let content = match self.content(key, path).await {
            Ok(content) => content,
            Err(error) if !required && error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        self.copies.write(path, &content)?;
        let text = String::from_utf8(content)
            .map_err(|_| Error::invalid(format!("{} at {} is no text", quote(&path.to_string_lossy()), quote(key))))?;
        self.read.insert(path.to_owned(), text.clone());
        Ok(Some(text))
    }

    /// What is in a file, within the limits of a project.
    async fn content(&mut self, key: &str, path: &Path) -> Result<Vec<u8>> {
        let written = path.to_str().ok_or_else(|| Error::invalid("a path of the project is no text"))?;
        let source = self.files.open(key, written).await?;
        let too_much = |what: &str| Err(Error::invalid(format!("{} at {} {what}", quote(written), quote(key))));
        if source.length > LARGEST {
            return too_much("is larger than 1 MiB");
        }
        self.size += source.length;
        if self.size > ALL || self.read.len() >= MOST_FILES {
            return too_much("is more than a project may be made of: 200 files, 8 MiB");
        }
        let mut content = Vec::new();
        let read = source.file.take(LARGEST).read_to_end(&mut content).await;
        read.map_err(|error| Error::internal("a file of the project cannot be read").detail(error.to_string()))?;
        Ok(content)
    }
}

/// Reads YAML as compose does: aliases and merges resolved, a key that is given twice refused.
///
/// # Errors
/// `invalid`, saying where.
pub(super) fn parsed(text: &str) -> Result<Value> {
    let options = serde_saphyr::options! {
        with_snippet: false,
    };
    let document = serde_saphyr::from_str_with_options::<Value>(text, options);
    let document = document.map_err(|error| Error::invalid(format!("it is no YAML that can be checked: {error}")))?;
    if document.is_object() { Ok(document) } else { Err(Error::invalid("it is no mapping of keys to values")) }
}

/// Refuses a line that tells compose itself what to read or to do.
fn no_order(line: &str) -> Result<()> {
    let name = line.strip_prefix("export ").unwrap_or(line).split(['=', ':']).next().unwrap_or_default().trim();
    let is_harmless = ["COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"].contains(&name);
    if name.starts_with("COMPOSE_") && !is_harmless {
        return Err(Error::denied(format!("variable {} tells compose what to do", quote(name)))
            .hint("take it out, and give \"files\" or the other arguments of the tool"));
    }
    Ok(())
}

/// Reads a compose file in which no variable of this machine stands.
fn checked(path: &Path, text: &str) -> Result<Value> {
    let document = parsed(text).map_err(|error| error_in(path, &error))?;
    no_own_variables(&document).map_err(|error| error_in(path, &error))?;
    Ok(document)
}

fn error_in(path: &Path, error: &Error) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let whose = if name == super::INLINE { "argument \"yaml\"".to_owned() } else { format!("file {}", quote(&name)) };
    Error::new(error.kind(), format!("{whose}: {}", error.message())).hint(error.hint_text().unwrap_or("mend it"))
}

/// Where a relative path leads, as a CLI puts it together: `..` is taken off the text.
pub(super) fn below(base: &Path, path: &str) -> PathBuf {
    let mut joined = base.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => {
                joined.pop();
            }
            Component::Normal(name) => joined.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parsed_is_what_compose_reads() {
        let document = parsed("a: &x {b: 1}\nc: {<<: *x, d: 2}\ne: !reset null\nf: 0440\n").unwrap();
        assert_eq!(document["c"], serde_json::json!({"b": 1, "d": 2}));
        for text in ["a: 1\na: 2\n", "- a\n", "a: 1\n---\nb: 2\n", "a: *x\n", "", "a: [\n"] {
            assert!(parsed(text).is_err(), "{text}");
        }
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&["a", &level.to_string(), ": &a", &level.to_string(), " [", &before, "]\n"].concat());
        }
        assert!(parsed(&bomb).is_err());
    }

    #[test]
    fn variables_give_no_orders() {
        for line in ["COMPOSE_FILE=x.yaml", "export COMPOSE_ENV_FILES=/etc/x", "COMPOSE_REMOVE_ORPHANS: 1"] {
            assert!(no_order(line).is_err(), "{line}");
        }
        for line in ["COMPOSE_PROJECT_NAME=shop", "COMPOSED=1", "A=COMPOSE_FILE=x", ""] {
            assert!(no_order(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn paths_are_put_together_on_the_text() {
        let below = |path| super::below(Path::new("/srv/app"), path);
        assert_eq!(below("./x/../y.env"), Path::new("/srv/app/y.env"));
        assert_eq!(below("../../../etc/x"), Path::new("/etc/x"));
    }
}
