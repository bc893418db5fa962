//! Which sockets are tried, and what is said when none is there.

use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn the_sockets_are_tried_in_this_order() {
    let mut environment = Environment { home: Some("/home/x".into()), ..Environment::default() };
    environment.variables.insert("XDG_RUNTIME_DIR".into(), "/run/user/7".into());
    let expected = [
        "/home/x/.docker/run/docker.sock",
        "/home/x/.docker/desktop/docker.sock",
        "/run/user/7/docker.sock",
        "/var/run/docker.sock",
        "/run/user/7/podman/podman.sock",
        "/run/podman/podman.sock",
    ];
    assert_eq!(sockets(&environment), expected.map(PathBuf::from));
    assert_eq!(sockets(&Environment::default()).len(), 2);
}

#[test]
fn only_a_socket_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["nothing", "file", "first.sock", "second.sock"].map(|name| directory.path().join(name));
    fs::write(&paths[1], "").unwrap();
    let missing = first_socket(&paths).endpoint;
    let looked_for = paths.iter().map(|path| path.display().to_string()).collect();
    assert_eq!(missing, Endpoint::Missing { looked_for });
    let _second = UnixListener::bind(&paths[3]).unwrap();
    let _first = UnixListener::bind(&paths[2]).unwrap();
    assert_eq!(first_socket(&paths).endpoint, Endpoint::Unix { path: paths[2].clone() });
}
