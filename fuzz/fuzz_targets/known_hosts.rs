//! Files of known host keys: whatever stands in one is read or skipped, in time that grows with its length.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quaymaster::docker::known_hosts;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for port in [22, 2222] {
        known_hosts(&text, "prod.example.com", port);
    }
});
