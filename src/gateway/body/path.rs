//! Paths of the engine's machine: their canonical form, and what they give away.

/// The machine's own parts: these themselves, and whatever holds one of them.
const OWN: &[&str] = &[
    "/etc",
    "/root",
    "/proc",
    "/sys",
    "/dev",
    "/boot",
    "/usr",
    "/bin",
    "/sbin",
    "/run",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/home",
    "/Users",
];
/// Of these also everything below.
const DEEP: &[&str] =
    &["/etc", "/root", "/proc", "/sys", "/dev", "/boot", "/run", "/var/lib/docker", "/var/lib/containerd"];
/// What many containers need and nobody can use, where it cannot be written.
const HARMLESS: &[&str] = &["/etc/localtime", "/etc/timezone", "/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs"];
/// Directories that programs keep credentials in.
const CREDENTIALS: &[&str] = &[".ssh", ".aws", ".docker", ".gnupg", ".kube"];
/// Where engines listen; `*` is any one name.
const SOCKETS: &[&str] = &[
    "/run/docker.sock",
    // A directory of its own where it is no link.
    "/var/run/docker.sock",
    "/run/docker/containerd/containerd.sock",
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/run/user/*/docker.sock",
    "/run/user/*/podman/podman.sock",
];
/// Words in the names of sockets that take orders for a whole engine.
const ENGINES: &[&str] = &["docker", "containerd", "podman", "crio", "cri-", "buildkit", "balena"];

/// What is known of one engine beside the usual places.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    /// Where it keeps its data (`DockerRootDir`).
    pub(super) root: Option<String>,
    /// Where it listens, as far as the gateway knows.
    pub(super) socket: Option<String>,
}

/// What a path gives away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nature {
    /// It is the socket of an engine.
    pub(super) socket: bool,
    /// It holds one.
    pub(super) holds_socket: bool,
    /// The machine's own parts, or somebody's credentials.
    pub(super) sensitive: bool,
}

/// An absolute path without `.`, `..`, `//` and a slash at its end; case is kept.
///
/// `None` for what is no absolute path or holds control characters. Links on the far side cannot be seen.
pub(super) fn canonical(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.chars().any(char::is_control) {
        return None;
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            // Above the root is the root.
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// What a canonical path gives away.
pub(super) fn nature(path: &str, read_only: bool, own: &Own) -> Nature {
    let path = &plain(path);
    let holds = |inner: &str| path == "/" || is_below(inner, path);
    let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let listens = own.socket.as_deref().map(plain);
    // `//./pipe/docker_engine` is a path like any other here.
    let socket = ((name.contains(".sock") || path.starts_with("/pipe/")) && is_engine(&name))
        || listens.as_deref() == Some(path);
    let data = own.root.as_deref().map(plain).filter(|root| root != "/");
    let harmless =
        read_only && HARMLESS.iter().any(|known| path == known || (known.ends_with("certs") && is_below(path, known)));
    let sensitive = OWN.iter().any(|known| path == known || holds(known))
        || DEEP.iter().any(|known| is_below(path, known)) && !harmless
        || path.strip_prefix("/lib").is_some_and(|rest| !rest.contains('/'))
        || data.is_some_and(|data| *path == data || is_below(path, &data) || (holds(&data) && !is_home(path)))
        || path.split('/').any(|part| CREDENTIALS.iter().any(|known| part.eq_ignore_ascii_case(known)));
    Nature {
        socket,
        holds_socket: !socket
            && (SOCKETS.iter().any(|known| could_hold(path, known))
                || listens.is_some_and(|listens| holds(&listens) && !is_home(path))),
        sensitive: sensitive && !socket,
    }
}

/// Whether a path is an allowed directory or lies below one.
pub(super) fn is_allowed(path: &str, allowed: &[String]) -> bool {
    let mut allowed = allowed.iter().filter_map(|directory| canonical(directory));
    allowed.any(|directory| directory == "/" || directory == path || is_below(path, &directory))
}

/// Other names of the same places: what `/var/run` is a link to, and where desktop engines keep their machine.
fn plain(path: &str) -> String {
    let mut path = path.to_owned();
    for (other, own) in [("/host_mnt", ""), ("/private", ""), ("/var/run", "/run")] {
        if let Some(rest) = path.strip_prefix(other)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            path = format!("{own}{rest}");
        }
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

/// Whether a path lies below a directory other than the root.
fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a path is a directory above a socket that may be there.
fn could_hold(path: &str, socket: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let known: Vec<&str> = socket.split('/').filter(|part| !part.is_empty()).collect();
    parts.len() < known.len() && parts.iter().zip(known).all(|(part, known)| known == "*" || *part == known)
}

/// Whether it is somebody's home, which is an ordinary directory.
fn is_home(path: &str) -> bool {
    ["/home/", "/Users/"].iter().any(|homes| path.strip_prefix(homes).is_some_and(|rest| !rest.contains('/')))
}

/// A path or a pipe of Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Windows {
    /// The pipe of an engine.
    Engine,
    /// Another pipe.
    Pipe,
    /// A drive, or its own parts.
    Sensitive,
    /// Another directory or share.
    Directory,
}

/// What a path of Windows gives away; `None` for what is none.
///
/// What begins with a slash is none: Linux takes `//./pipe/../etc` for a path of its own.
pub(super) fn windows(path: &str) -> Option<Windows> {
    if path.starts_with('/') {
        return None;
    }
    let path = path.replace('\\', "/").to_lowercase();
    // `//?/c:/x` is `c:/x`.
    let local = path.strip_prefix("//?/").or_else(|| path.strip_prefix("//./")).unwrap_or(&path);
    if let Some(pipe) = local.strip_prefix("pipe/").filter(|_| local.len() < path.len()) {
        return Some(if is_engine(pipe) { Windows::Engine } else { Windows::Pipe });
    }
    let mut characters = local.chars();
    let is_drive = characters.next().is_some_and(|letter| letter.is_ascii_lowercase())
        && characters.next() == Some(':')
        && characters.next().is_none_or(|slash| slash == '/');
    if !is_drive {
        return path.starts_with("//").then_some(Windows::Directory);
    }
    let inside = canonical(&local.chars().skip(2).collect::<String>()).unwrap_or_else(|| "/".to_owned());
    // Names that end with dots or blanks are those without.
    let parts: Vec<&str> = inside.split('/').map(|part| part.trim_end_matches(['.', ' '])).skip(1).collect();
    let own = match parts.as_slice() {
        [] | ["" | "users"] | ["windows" | "program files" | "program files (x86)" | "programdata", ..] => true,
        parts => parts.iter().any(|part| CREDENTIALS.contains(part)),
    };
    Some(if own { Windows::Sensitive } else { Windows::Directory })
}

/// Whether the name of a socket or a pipe is that of an engine's.
fn is_engine(name: &str) -> bool {
    ENGINES.iter().any(|engine| name.contains(engine))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nature_of(path: &str) -> Nature {
        nature(&canonical(path).unwrap(), false, &Own::default())
    }

    #[test]
    fn one_place_has_one_path() {
        for (written, path) in [
            ("/", "/"),
            ("//", "/"),
            ("/..", "/"),
            ("/../../etc", "/etc"),
            ("/srv/../etc/", "/etc"),
            ("/./srv//a/./", "/srv/a"),
            ("/Srv", "/Srv"),
            ("/a/...", "/a/..."),
            ("/a/..b", "/a/..b"),
        ] {
            assert_eq!(canonical(written).as_deref(), Some(path), "{written}");
        }
        for written in ["", "etc", "./etc", "~/x", "../etc", " /etc", "/a\0", "/a\n", "C:\\x"] {
            assert_eq!(canonical(written), None, "{written:?}");
        }
    }

    #[test]
    fn what_is_sensitive_and_what_holds_it() {
        for path in [
            "/",
            "/etc",
            "/etc/shadow",
            "/root/x",
            "/proc/self/root/srv",
            "/proc/1/root/etc",
            "/sys/fs/cgroup",
            "/dev/sda",
            "/boot",
            "/usr",
            "/lib",
            "/lib64",
            "/libx32",
            "/bin",
            "/sbin",
            "/run/x",
            "/var/run/x",
            "/var",
            "/var/lib",
            "/var/lib/docker/volumes",
            "/var/lib/containerd/x",
            "/home",
            "/Users",
            "/home/a/.ssh",
            "/home/a/.SSH/id",
            "/srv/.aws",
            "/Users/a/.docker",
            "/opt/.gnupg/x",
            "/opt/.kube",
            "/host_mnt",
            "/host_mnt/etc",
            "/private/etc/x",
            "/private/var/run/x",
            "/host_mnt/Users",
        ] {
            assert!(nature_of(path).sensitive, "{path}");
        }
        for path in [
            "/srv",
            "/etcetera",
            "/usr/share/zoneinfo",
            "/lib/modules",
            "/home/a",
            "/home/a/code",
            "/Users/a",
            "/opt",
            "/var/lib/postgres",
            "/var/log",
            "/tmp",
            "/rooted",
            "/srv/etc",
            "/hosts_mnt",
            "/home/a/.sshd",
            "/mnt/lib",
        ] {
            assert_eq!(nature_of(path), Nature { socket: false, holds_socket: false, sensitive: false }, "{path}");
        }
    }

    #[test]
    fn harmless_files_cannot_be_written() {
        let own = Own::default();
        for path in ["/etc/localtime", "/etc/timezone", "/etc/hosts", "/etc/ssl/certs", "/etc/ssl/certs/ca.pem"] {
            assert!(!nature(path, true, &own).sensitive && nature(path, false, &own).sensitive, "{path}");
        }
        for path in ["/etc/ssl", "/etc/ssl/private", "/etc/shadow", "/etc/localtime/x", "/etc"] {
            assert!(nature(path, true, &own).sensitive, "{path}");
        }
    }

    #[test]
    fn sockets_and_whatever_holds_them() {
        for path in [
            "/var/run/docker.sock",
            "/run/containerd/containerd.sock",
            "/srv/proxy/docker.sock",
            "/x/Podman.sock",
            "/run/crio/crio.sock",
            "/run/user/1000/docker.sock",
            "/run/containerd/containerd.sock.ttrpc",
            "//./pipe/docker_engine",
        ] {
            assert!(nature_of(path).socket && !nature_of(path).sensitive, "{path}");
        }
        for path in ["/", "/var/run", "/run", "/run/user", "/run/user/7", "/run/user/7/podman", "/run/docker", "/var"] {
            assert!(nature_of(path).holds_socket, "{path}");
        }
        for path in ["/srv", "/run/user/7/other", "/run/x", "/srv/mysql.sock", "/var/lib", "/srv/docker.socks/../x"] {
            assert!(!nature_of(path).holds_socket && !nature_of(path).socket, "{path}");
        }
    }

    #[test]
    fn an_engine_elsewhere() {
        let own = Own { root: Some("/data/docker".into()), socket: Some("/home/me/.colima/default/docker".into()) };
        let nature = |path: &str| nature(path, false, &own);
        assert!(nature("/data").sensitive && nature("/data/docker").sensitive && nature("/data/docker/x").sensitive);
        assert!(!nature("/data/other").sensitive);
        assert!(nature("/home/me/.colima/default/docker").socket);
        assert!(nature("/home/me/.colima").holds_socket && nature("/home/me/.colima/default").holds_socket);
        assert!(!nature("/home/me").holds_socket && !nature("/home/me/code").holds_socket);
        let own = Own { root: Some("/".into()), socket: None };
        assert!(!super::nature("/srv", false, &own).sensitive);
    }

    #[test]
    fn allowed_directories_are_compared_by_parts() {
        let allowed = |path: &str| is_allowed(path, &["/srv/./data/".to_owned(), "relative".to_owned()]);
        assert!(allowed("/srv/data") && allowed("/srv/data/x"));
        assert!(!allowed("/srv") && !allowed("/srv/database") && !allowed("/relative"));
        assert!(is_allowed("/anything", &["/".to_owned()]));
    }

    #[test]
    fn paths_of_windows() {
        use Windows::{Directory, Engine, Pipe, Sensitive};
        for (path, expected) in [
            (r"\\.\pipe\docker_engine", Some(Engine)),
            (r"\\.\PIPE/docker_engine_linux", Some(Engine)),
            ("//./pipe/../etc", None),
            ("//etc", None),
            (r"\\.\pipe\containerd-containerd", Some(Engine)),
            (r"\\.\pipe\other", Some(Pipe)),
            (r"C:\", Some(Sensitive)),
            ("c:", Some(Sensitive)),
            (r"C:\data\..\Windows\x", Some(Sensitive)),
            (r"\\?\C:\Windows.", Some(Sensitive)),
            (r"C:\ProgramData\docker", Some(Sensitive)),
            (r"C:\Users", Some(Sensitive)),
            (r"C:\Users\me\.ssh", Some(Sensitive)),
            (r"D:\data", Some(Directory)),
            (r"\\server\share", Some(Directory)),
            ("data", None),
            ("/srv", None),
            ("c:x", None),
        ] {
            assert_eq!(windows(path), expected, "{path}");
        }
    }

    /// Steps that lead nowhere.
    fn noise() -> impl Strategy<Value = String> {
        prop::collection::vec(prop_oneof!["/", "/\\.", "/[a-z]{1,4}/\\.\\.", "/\\./[a-z.]{3,5}/\\.\\."], 0..6)
            .prop_map(|steps| steps.concat())
    }

    proptest! {
        #[test]
        fn canonical_paths_stay(path in "(/|[a-z.~ ]|\\.\\.){0,24}") {
            if let Some(once) = canonical(&path) {
                prop_assert_eq!(canonical(&once), Some(once.clone()));
                prop_assert!(once.split('/').all(|part| part != ".." && part != "."));
                prop_assert!(once == "/" || !once.ends_with('/'));
                prop_assert!(!once.contains("//"));
            } else {
                prop_assert!(!path.starts_with('/'));
            }
        }

        #[test]
        fn anything_is_told_without_a_panic(path in any::<String>()) {
            if let Some(path) = canonical(&path) {
                nature(&path, true, &Own { root: Some("/data".into()), socket: Some("/data/x.sock".into()) });
            }
            windows(&path);
        }

        #[test]
        fn noise_hides_nothing(
            known in prop::sample::select(
                [OWN, DEEP, HARMLESS, SOCKETS, &["/", "/var", "/var/lib", "/var/run", "/lib64", "/srv/.ssh"]].concat(),
            ),
            noise in prop::collection::vec(noise(), 8),
            up in 0_usize..4,
        ) {
            let mut noise = noise.into_iter();
            let mut written = "/..".repeat(up);
            for part in known.split('/').skip(1) {
                written.push_str(&noise.next().unwrap_or_default());
                written.push('/');
                written.push_str(part);
            }
            written.push_str(&noise.next().unwrap_or_default());
            let path = canonical(&written).unwrap();
            prop_assert_eq!(&path, &canonical(known).unwrap());
            let nature = nature(&path, false, &Own::default());
            prop_assert!(nature.sensitive || nature.socket, "{}", written);
        }
    }
}
