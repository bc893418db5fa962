//! Requests of programs on the private socket: what is understood is unambiguous, and understood alike again.

#![no_main]

use http::{Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use quaymaster::docker::{cli::request::read, guard::classify};

fuzz_target!(|input: (u8, &str, Vec<(&str, &str)>)| {
    let (method, target, headers) = input;
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::CONNECT];
    let method = methods[usize::from(method) % methods.len()].clone();
    let Ok(uri) = target.parse::<Uri>() else { return };
    let request = Request::builder().method(method.clone()).uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let Ok(request) = request.body(()) else { return };
    let Ok(asked) = read(&request.into_parts().0) else { return };
    assert!(asked.uri.authority().is_none() && asked.uri.scheme().is_none(), "{target} leads elsewhere");
    // What is judged is what the guard sees at the exit.
    assert_eq!(classify(&method, &asked.uri).as_ref(), Ok(&asked.wire), "{target}");
    for name in asked.headers.keys() {
        let name = name.as_str();
        let known = ["x-registry-auth", "x-registry-config", "connection", "upgrade"].contains(&name);
        assert!(known || name.starts_with("x-docker-expose-session-"), "{name} passes");
    }
    let again = Request::builder().method(method).uri(asked.uri.clone()).body(()).expect("it was understood");
    let again = read(&again.into_parts().0).expect("what was understood is understood again");
    assert_eq!((again.uri, again.query, again.api), (asked.uri, asked.query, None), "{target}");
});
