//! The guard's decoder: nothing that reaches a handler which changes anything passes as a read.

#![no_main]

use http::{Method, Uri};
use libfuzzer_sys::fuzz_target;
use quaymaster::docker::guard::{Class, classify};

fuzz_target!(|input: (u8, &str)| {
    let (method, target) = input;
    let method = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE][usize::from(method) % 5].clone();
    let Ok(uri) = format!("/{target}").parse::<Uri>() else { return };
    let Ok(wire) = classify(&method, &uri) else { return };
    let reads = matches!(wire.class, Class::Read | Class::Files | Class::Credentials);
    // What the daemon's router sees once it has decoded the path.
    let path = decoded(uri.path());
    if reads {
        let waits = method == Method::POST && path.ends_with("/wait");
        assert!(method == Method::GET || method == Method::HEAD || waits, "{method} {uri} passes as a read");
        let attaches = path.contains("/containers/") && (path.ends_with("/attach") || path.ends_with("/attach/ws"));
        assert!(!attaches, "{method} {uri} passes as a read");
    }
    assert!(!path.contains("/../") && !path.contains("//"), "{method} {uri} is ambiguous and passes");
    // The same request with a version in front is the same request.
    if !uri.path().starts_with("/v") {
        let versioned: Uri = format!("/v1.41{uri}").parse().expect("a path with a version in front is a path");
        assert_eq!(classify(&method, &versioned).map(|wire| wire.class), Ok(wire.class), "{method} {uri}");
    }
});

/// A decoder of its own, so that the guard is not measured by itself.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                bytes.push((hex(high).unwrap_or_default() * 16 + hex(low).unwrap_or_default()) as u8);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
