//! The private directory of one run: the socket, the configuration of the CLI, a home; readable by nobody else, gone with the run.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::programs::Found;
use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// What the CLI gets to see of this machine.
pub(super) struct Home {
    directory: TempDir,
}

/// The login of one registry.
#[derive(Debug, Clone)]
pub struct Login {
    /// The registry as the CLI's configuration names it, such as `registry.example.com` or
    /// `https://index.docker.io/v1/`.
    pub registry: String,
    /// The account; [`Login::TOKEN`] where the password is a token that stands for one.
    pub user: String,
    /// Its password or token.
    pub password: Secret,
}

impl Home {
    /// Makes it: the directory is its owner's alone before anything is in it.
    pub(super) fn make(found: &Found, logins: &[Login]) -> Result<Self> {
        Self::made(found, logins).map_err(|error| {
            Error::internal("a private directory for the docker CLI cannot be made")
                .hint("the disk or the temporary directory of Quaymaster's machine may be full; report it")
                .detail(error.to_string())
        })
    }

    fn made(found: &Found, logins: &[Login]) -> io::Result<Self> {
        let private = fs::Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new()
            .prefix("quaymaster-")
            .rand_bytes(12)
            .permissions(private)
            .tempdir_in(&found.base)?;
        let home = Self { directory };
        for place in [home.own(), home.work(), home.config().join("cli-plugins")] {
            fs::create_dir_all(place)?;
        }
        for (name, place) in &found.plugins {
            symlink(place, home.config().join("cli-plugins").join(format!("docker-{name}")))?;
        }
        let auths: Map<String, Value> = logins.iter().map(Login::entry).collect();
        // Advertisements of other products are no part of an answer.
        let config = json!({"auths": auths, "plugins": {"-x-cli-hints": {"enabled": "false"}}});
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(home.config().join("config.json"))?;
        file.write_all(config.to_string().as_bytes())?;
        Ok(home)
    }

    /// Listens on the socket.
    pub(super) fn listen(&self) -> Result<UnixListener> {
        let listening = || {
            let listener = UnixListener::bind(self.socket())?;
            fs::set_permissions(self.socket(), fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        listening().map_err(|error: io::Error| {
            Error::internal("a private socket for the docker CLI cannot be made").detail(error.to_string())
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.path().join("docker.sock")
    }

    /// `DOCKER_CONFIG`.
    pub(super) fn config(&self) -> PathBuf {
        self.path().join("config")
    }

    /// `HOME`.
    pub(super) fn own(&self) -> PathBuf {
        self.path().join("home")
    }

    /// Where a program runs that is given no directory.
    pub(super) fn work(&self) -> PathBuf {
        self.path().join("work")
    }
}

impl Login {
    /// What helpers of the docker CLI call the account of an identity token.
    pub const TOKEN: &str = "<token>";

    fn entry(&self) -> (String, Value) {
        if self.user == Self::TOKEN {
            let nobody = STANDARD.encode(":");
            return (self.registry.clone(), json!({"auth": nobody, "identitytoken": self.password.expose()}));
        }
        let both = STANDARD.encode(format!("{}:{}", self.user, self.password.expose()));
        (self.registry.clone(), json!({"auth": both}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_home_is_its_owners_and_goes_with_the_run() {
        let base = tempfile::tempdir().unwrap();
        let found = Found {
            docker: "/nowhere/docker".into(),
            plugins: vec![("compose", "/nowhere/docker-compose".into())],
            path: String::new(),
            base: base.path().to_owned(),
        };
        let login = Login {
            registry: "registry.example.com".to_owned(),
            user: "ann".to_owned(),
            password: Secret::new("hunter2"),
        };
        let home = Home::make(&found, &[login]).unwrap();
        let listener = home.listen().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(home.path()), mode(&home.socket())), (0o700, 0o600));
        assert_eq!(mode(&home.config().join("config.json")), 0o600);
        let config: Value = serde_json::from_slice(&fs::read(home.config().join("config.json")).unwrap()).unwrap();
        assert_eq!(config["auths"], json!({"registry.example.com": {"auth": "YW5uOmh1bnRlcjI="}}));
        let link = fs::read_link(home.config().join("cli-plugins/docker-compose")).unwrap();
        assert_eq!(link, Path::new("/nowhere/docker-compose"));
        let path = home.path().to_owned();
        drop((listener, home));
        assert!(!path.exists());
    }
}
