//! The docker CLI and its plugins on the gateway's machine: where they are, and what to say where they are not.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    config::Environment,
    error::{Error, Result},
};

/// Where the packages of docker put plugins for everybody.
const EVERYBODY: &[&str] = &[
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];
/// The plugins that are run, and those that these run in turn.
const PLUGINS: &[&str] = &["buildx", "compose", "scout"];
/// A directory that is looked into before all others.
const FIRST: &str = "QUAYMASTER_CLI_PLUGINS";
/// What a path of a socket may have at most, on any system.
const LONGEST: usize = 100;
/// What the directory of a run and the socket in it take of that.
const OWN: usize = 36;

/// A program of this machine that a tool runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// The docker CLI itself, without a plugin.
    Docker,
    /// Its plugin for projects of several containers.
    Compose,
    /// Its plugin for builds.
    Buildx,
    /// Its plugin for known weaknesses of images.
    Scout,
}

impl Program {
    /// The plugin's name; nothing where the CLI itself is meant.
    #[must_use]
    pub const fn plugin(self) -> Option<&'static str> {
        match self {
            Self::Docker => None,
            Self::Compose => Some("compose"),
            Self::Buildx => Some("buildx"),
            Self::Scout => Some("scout"),
        }
    }

    /// How a person calls it: `docker compose`.
    #[must_use]
    pub fn command(self) -> String {
        ["docker"].into_iter().chain(self.plugin()).collect::<Vec<_>>().join(" ")
    }
}

/// The programs of this machine. They are looked for when they are needed: one that was installed meanwhile is found.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    path: String,
    plugins: Vec<PathBuf>,
    /// Where runs keep their private directories.
    pub(super) base: PathBuf,
}

/// What a run needs of them.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) docker: PathBuf,
    /// The names and the places of plugins.
    pub(super) plugins: Vec<(&'static str, PathBuf)>,
    pub(super) path: String,
    pub(super) base: PathBuf,
}

impl Programs {
    /// Where to look, for a person with this environment; nothing is looked at.
    #[must_use]
    pub fn new(environment: &Environment) -> Self {
        let configured = environment.get("DOCKER_CONFIG").map(PathBuf::from);
        let own = configured.or_else(|| environment.home.as_ref().map(|home| home.join(".docker")));
        let first = environment.get(FIRST).map(PathBuf::from);
        let plugins = first.into_iter().chain(own.map(|own| own.join("cli-plugins")));
        let bases = ["XDG_RUNTIME_DIR", "TMPDIR"].into_iter().filter_map(|name| environment.get(name));
        let mut bases = bases.map(PathBuf::from).filter(|base| base.is_absolute());
        let base = bases.find(|base| base.as_os_str().len() + OWN <= LONGEST && base.is_dir());
        Self {
            path: environment.get("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin").to_owned(),
            plugins: plugins.chain(EVERYBODY.iter().map(PathBuf::from)).collect(),
            base: base.unwrap_or_else(|| "/tmp".into()),
        }
    }

    /// The docker CLI.
    #[must_use]
    pub fn docker(&self) -> Option<PathBuf> {
        // A relative entry would depend on where the gateway was started.
        let places = self.path.split(':').map(Path::new).filter(|place| place.is_absolute());
        places.map(|place| place.join("docker")).find(|program| is_program(program))
    }

    /// A plugin of it, such as `compose`.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<PathBuf> {
        let file = format!("docker-{name}");
        self.plugins.iter().map(|place| place.join(&file)).find(|program| is_program(program))
    }

    /// Finds what a run of a plugin needs, or of the CLI alone.
    ///
    /// # Errors
    /// `unsupported`, saying what to install.
    pub fn need(&self, plugin: Option<&str>) -> Result<()> {
        self.found(plugin).map(drop)
    }

    pub(super) fn found(&self, plugin: Option<&str>) -> Result<Found> {
        let missing = |what: &str, package: &str| {
            Err(Error::unsupported(format!("{what} is not installed on the machine of Quaymaster"))
                .hint(format!("ask the person to install {package} there; nothing is needed on the host")))
        };
        let Some(docker) = self.docker() else {
            return missing("the docker CLI", "the package docker-ce-cli (or docker-cli)");
        };
        if let Some(name) = plugin.filter(|name| self.plugin(name).is_none()) {
            return missing(
                &format!("the {name} plugin of the docker CLI"),
                &format!("the package docker-{name}-plugin"),
            );
        }
        let plugins = PLUGINS.iter().filter_map(|name| Some((*name, self.plugin(name)?))).collect();
        Ok(Found { docker, plugins, path: self.path.clone(), base: self.base.clone() })
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn install(place: &Path, name: &str, mode: u32) {
        fs::create_dir_all(place).unwrap();
        fs::write(place.join(name), "#!/bin/sh\n").unwrap();
        fs::set_permissions(place.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_missing_is_said_and_what_comes_is_found() {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        let environment = Environment {
            variables: [("PATH".to_owned(), format!("relative:{}", bin.display()))].into(),
            home: Some(home.path().to_owned()),
            ..Environment::default()
        };
        let programs = Programs::new(&environment);
        let error = programs.need(None).unwrap_err();
        assert_eq!((error.kind(), error.hint_text().unwrap().contains("docker-ce-cli")), (Kind::Unsupported, true));
        install(&bin, "docker", 0o644);
        assert!(programs.need(None).is_err());
        install(&bin, "docker", 0o755);
        programs.need(None).unwrap();
        let error = programs.need(Some("nowhere")).unwrap_err();
        assert!(error.hint_text().unwrap().contains("docker-nowhere-plugin"), "{error:?}");
        install(&home.path().join(".docker/cli-plugins"), "docker-compose", 0o755);
        assert_eq!(programs.plugin("compose").unwrap(), home.path().join(".docker/cli-plugins/docker-compose"));
        programs.need(Some("compose")).unwrap();
    }

    #[test]
    fn a_socket_fits_below_the_directory_of_runs() {
        let deep = tempfile::Builder::new().prefix(&"x".repeat(90)).tempdir().unwrap();
        let environment = Environment {
            variables: [("TMPDIR".to_owned(), deep.path().display().to_string())].into(),
            ..Environment::default()
        };
        assert_eq!(Programs::new(&environment).base, Path::new("/tmp"));
    }
}
