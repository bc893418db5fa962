//! Redaction: no text and no document makes it panic, doing it twice changes nothing, and a secret does not survive.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quaymaster::redact::{self, Reveal};
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let shown = redact::shown(&text);
    assert_eq!(redact::shown(&shown), shown, "{text:?}");
    assert!(shown.chars().all(|character| !character.is_control() || matches!(character, '\n' | '\t')));

    // Whatever stands around it.
    let secret = ["ghp", "_", "0123456789abcdefghijABCDEFGHIJ012345"].concat();
    assert!(!redact::shown(&format!("{text} {secret} {text}")).contains(&secret), "{text:?}");

    if let Ok(mut document) = serde_json::from_slice::<Value>(bytes) {
        redact::document(&mut document, &Reveal::default());
        let once = document.clone();
        redact::document(&mut document, &Reveal::default());
        assert_eq!(document, once);
    }
    let mut inspected = json!({"Config": {"Env": [format!("APP_SECRET={text}hunter2-hunter2")]}});
    redact::document(&mut inspected, &Reveal::default());
    assert!(!inspected.to_string().contains("hunter2"), "{inspected}");
});
