//! The root that nobody has configured: the working directory, where it holds some work and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::config::Environment;

/// What belongs to the system, with everything below it.
const SYSTEM: [&str; 23] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/spool",
    "/private/etc",
    "/private/var/db",
    "/System",
    "/Library",
    "/nix",
];
/// What holds the things of many, itself only: what lies below belongs to one of them.
const SHARED: [&str; 12] =
    ["/", "/home", "/Users", "/Volumes", "/media", "/mnt", "/opt", "/srv", "/tmp", "/private/tmp", "/var", "/var/tmp"];
/// The directories in which every directory is somebody's home.
const HOMES: [&str; 2] = ["/home", "/Users"];

/// The working directory, unless it is too much for a root that nobody has asked for.
pub(super) fn usual(working: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (directory, home) = (real(working), home.map(real));
    is_harmless(&directory, home.as_deref()).then_some(directory)
}

/// Where the configuration is, as far as the environment says.
pub(super) fn own(environment: &Environment) -> Vec<PathBuf> {
    let home = || environment.home.as_ref().map(|home| home.join(".config"));
    let directory = environment.get("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
    let file = environment.get("QUAYMASTER_CONFIG").map(|file| environment.working_directory.join(file));
    directory.map(|directory| directory.join("quaymaster")).into_iter().chain(file).collect()
}

/// Whether a directory is neither a home, nor above one, nor the system's, nor shared by many.
fn is_harmless(directory: &Path, home: Option<&Path>) -> bool {
    let is_home = |candidate: &Path| {
        candidate == Path::new("/root")
            || candidate.parent().is_some_and(|parent| HOMES.iter().any(|homes| parent == Path::new(homes)))
    };
    directory.is_absolute()
        && !is_home(directory)
        && !home.is_some_and(|home| home.starts_with(directory))
        && !SHARED.iter().any(|shared| directory == Path::new(shared))
        && !SYSTEM.iter().any(|system| directory.starts_with(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_of_some_work_is_a_root_by_itself() {
        let home = Some(Path::new("/srv/people/ada"));
        for directory in [
            "",
            ".",
            "/",
            "/etc",
            "/etc/nginx",
            "/usr/local/src",
            "/var",
            "/var/lib/docker",
            "/proc/self",
            "/home",
            "/home/bob",
            "/root",
            "/Users/eve",
            "/srv",
            "/srv/people",
            "/srv/people/ada",
            "/tmp",
            "/run/user/1000",
        ] {
            assert!(!is_harmless(Path::new(directory), home), "{directory}");
        }
        for directory in
            ["/srv/people/ada/web", "/home/bob/web", "/root/web", "/srv/people/bob", "/app", "/tmp/work", "/usrlocal"]
        {
            assert!(is_harmless(Path::new(directory), home), "{directory}");
        }
        assert!(is_harmless(Path::new("/srv/people/ada"), None));
    }

    #[test]
    fn a_link_is_judged_by_where_it_leads() {
        let work = tempfile::tempdir().unwrap();
        let link = work.path().join("work");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert_eq!(usual(&link, None), None);
        let inside = fs::canonicalize(work.path()).unwrap();
        assert_eq!(usual(work.path(), Some(Path::new("/nonexistent"))), Some(inside));
    }
}
