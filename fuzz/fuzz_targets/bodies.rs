//! Foreign JSON bodies: what is taken is what every reader takes it for, whatever the case and order of its keys.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quaymaster::gateway::body;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = body::foreign(bytes) else { return };
    unambiguous(&document);
    // What was judged is what is sent, and it is judged alike again.
    let sent = serde_json::to_vec(&document).expect("a document can be written");
    assert_eq!(body::foreign(&sent).expect("what was taken is taken again"), document);
});

fn unambiguous(document: &Value) {
    match document {
        Value::Array(items) => items.iter().for_each(unambiguous),
        Value::Object(fields) => {
            let mut names: Vec<String> = fields.keys().map(|name| name.to_lowercase()).collect();
            names.sort();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two keys differ by case only: {names:?}");
            fields.values().for_each(unambiguous);
        }
        _ => {}
    }
}
