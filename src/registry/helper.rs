//! Credential helpers of the docker CLI: run with arguments only, a closed environment, a time and a limit of what they say.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

use super::credentials::Credentials;
use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// How long a helper may take; it may ask a keychain or a cloud.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const LARGEST: u64 = 64 << 10;
/// What a helper says where it has nothing for a registry.
const NOTHING: &str = "credentials not found in native keychain";
/// The user name that stands for an identity token.
const IDENTITY: &str = "<token>";

/// The variables that helpers see: where programs, homes, sessions, keychains and clouds are.
const SEEN: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TMPDIR",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_CONFIG",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
];
/// The same, by how they begin.
const SEEN_FAMILIES: &[&str] = &["XDG_", "LC_", "AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_"];

/// The helpers that can be found, and what they may see.
#[derive(Clone, Default)]
pub(super) struct Helpers {
    path: Vec<PathBuf>,
    variables: BTreeMap<String, Secret>,
}

impl fmt::Debug for Helpers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Helpers").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a helper answers with.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl Helpers {
    /// The helpers on the `PATH` of these variables; relative directories on it do not count.
    pub(super) fn new(variables: &BTreeMap<String, String>) -> Self {
        let is_seen = |name: &str| SEEN.contains(&name) || SEEN_FAMILIES.iter().any(|family| name.starts_with(family));
        let path =
            variables.get("PATH").map(|path| path.split(':').map(PathBuf::from).filter(|path| path.is_absolute()));
        let seen = variables.iter().filter(|(name, _)| is_seen(name));
        Self {
            path: path.into_iter().flatten().collect(),
            variables: seen.map(|(name, value)| (name.clone(), Secret::new(value.as_str()))).collect(),
        }
    }

    /// What the helper of a name has for a registry, by the registry's key.
    ///
    /// # Errors
    /// `config` where there is no such helper, or it fails; what it said is never part of that.
    pub(super) async fn get(&self, helper: &str, key: &str) -> Result<Option<Credentials>> {
        let program = self.find(helper)?;
        let failed = |why: &str| {
            Error::config(format!("the credential helper \"docker-credential-{helper}\" failed: {why}"))
                .hint("ask the person to log in with \"docker login\" on the gateway's machine")
        };
        let mut child = Command::new(&program)
            .arg("get")
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, OsStr::new(value.expose()))))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("it cannot be run").detail(format!("{}: {error}", program.display())))?;
        let _group = Group::of(&child);
        let asked = async {
            if let Some(mut input) = child.stdin.take() {
                // One that answers without reading closes its end.
                input.write_all(key.as_bytes()).await.ok();
            }
            let mut said = Vec::new();
            if let Some(output) = child.stdout.take() {
                output.take(LARGEST + 1).read_to_end(&mut said).await?;
            }
            if said.len() as u64 > LARGEST {
                return Ok(None);
            }
            Ok::<_, std::io::Error>(Some((child.wait().await?, said)))
        };
        let (status, said) = match tokio::time::timeout(PATIENCE, asked).await {
            Err(_) => return Err(failed(&format!("it did not end within {} s", PATIENCE.as_secs()))),
            Ok(Err(error)) => return Err(failed("it cannot be read").detail(error.to_string())),
            Ok(Ok(None)) => return Err(failed("it says too much")),
            Ok(Ok(Some(ended))) => ended,
        };
        if !status.success() {
            let has_nothing = said.trim_ascii() == NOTHING.as_bytes();
            return if has_nothing { Ok(None) } else { Err(failed("it refuses").detail(status.to_string())) };
        }
        let found: Found = serde_json::from_slice(&said).map_err(|_| failed("its answer is not understood"))?;
        Ok(match (found.username.as_str(), found.secret.as_str()) {
            (_, "") => None,
            (IDENTITY, token) => Some(Credentials::Identity(Secret::new(token))),
            (username, password) => {
                Some(Credentials::Password { username: username.to_owned(), password: Secret::new(password) })
            }
        })
    }

    /// The program of a helper: a name without a path, looked for in the directories of `PATH` only.
    fn find(&self, helper: &str) -> Result<PathBuf> {
        let is_name = !helper.is_empty()
            && helper.len() <= 100
            && helper.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
        if !is_name {
            return Err(Error::config("the docker configuration names a credential helper that cannot be one"));
        }
        let is_program = |path: &PathBuf| is_program(path);
        self.path
            .iter()
            .map(|directory| directory.join(format!("docker-credential-{helper}")))
            .find(is_program)
            .ok_or_else(|| {
                Error::config(format!("the credential helper \"docker-credential-{helper}\" is not on PATH"))
                    .hint("ask the person to start Quaymaster with a PATH that has it")
            })
    }
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The processes of a helper, which end with it: one may have started others.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Most have ended by themselves, and there is no such group.
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}
