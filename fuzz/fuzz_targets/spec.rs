//! The host grammar: no text makes it panic, and what it took it writes in a form that it takes again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quaymaster::config::spec::parse_list;

fuzz_target!(|text: &str| {
    let Ok(hosts) = parse_list(text) else { return };
    let written = hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let again = parse_list(&written).unwrap_or_else(|error| panic!("{written:?} is refused: {error}"));
    assert_eq!(hosts, again, "{text:?} was written as {written:?}");
});
