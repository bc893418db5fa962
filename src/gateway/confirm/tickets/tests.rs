//! Tests of the tickets against a clock of their own.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{gateway::confirm::sheet::Thing, secret::Secret};

const START: Moment = 1_800_000_000_000;
const MINUTE: Moment = 60_000;

fn sheet() -> Sheet {
    Sheet {
        principal: "os:ops".into(),
        host: "prod".into(),
        tool: "remove_volume".into(),
        effect: "destroy".into(),
        reasons: vec!["it destroys data".into()],
        arguments: json!({"volumes": ["data"]}).as_object().unwrap().clone(),
        objects: vec![Thing { kind: "volume".into(), name: "data".into(), id: "data".into(), digest: "d1".into() }],
    }
}

struct Desk {
    directory: TempDir,
    tickets: Tickets,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tickets = Tickets::new(directory.path().join("state"));
        Self { directory, tickets }
    }

    /// The same directory, seen by another process.
    fn other(&self) -> Tickets {
        Tickets::new(self.tickets.state.clone())
    }

    fn file(&self, stage: &str, ticket: &Ticket) -> PathBuf {
        self.directory.path().join(format!("state/approvals/{stage}/{ticket}.json"))
    }

    fn waiting(&self, ticket: &Ticket, now: Moment) -> Waiting {
        let found = Store::find(&self.tickets.state).unwrap().unwrap().read(Stage::Pending, ticket).unwrap().unwrap();
        Waiting::read(ticket, found, now).unwrap().unwrap()
    }

    /// A ticket, approved at the start.
    fn approved(&self, key: Option<&Key>) -> Ticket {
        let ticket = self.tickets.issue_at(&sheet(), START).unwrap();
        self.tickets.approve_at(&self.waiting(&ticket, START), key, START).unwrap();
        ticket
    }

    fn passes(&self, sheet: &Sheet, now: Moment) -> bool {
        self.passes_with(sheet, None, now)
    }

    fn passes_with(&self, sheet: &Sheet, verifier: Option<&Verifier>, now: Moment) -> bool {
        self.tickets.consume_at(&sheet.principal, &sheet.binding(), verifier, now).unwrap().is_some()
    }

    fn edit(&self, stage: &str, ticket: &Ticket, edit: impl Fn(&mut Value)) {
        let path = self.file(stage, ticket);
        let mut document = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        edit(&mut document);
        std::fs::write(path, document.to_string()).unwrap();
    }
}

#[test]
fn an_approval_lets_its_call_pass_once() {
    let desk = Desk::new();
    assert!(!desk.passes(&sheet(), START));
    let ticket = desk.tickets.issue_at(&sheet(), START).unwrap();
    assert!(!desk.passes(&sheet(), START), "a ticket alone approves nothing");
    desk.tickets.approve_at(&desk.waiting(&ticket, START), None, START).unwrap();
    assert!(desk.passes(&sheet(), START + 1) && !desk.passes(&sheet(), START + 2));
    // Put back by somebody, it is worth nothing: neither here nor to another process.
    let used = std::fs::read(desk.file("used", &ticket)).unwrap();
    let back = || {
        std::fs::copy(desk.file("used", &ticket), desk.file("approved", &ticket)).unwrap();
    };
    back();
    let (principal, binding) = (sheet().principal, sheet().binding());
    assert!(desk.other().consume_at(&principal, &binding, None, START + 3).unwrap().is_none());
    std::fs::rename(desk.file("used", &ticket), desk.file("approved", &ticket)).unwrap();
    assert!(!desk.passes(&sheet(), START + 3), "this process remembers");
    assert!(!used.is_empty());
}

#[test]
fn it_lives_ten_minutes_and_no_clock_makes_it_longer() {
    for (now, passes) in [
        (START, true),
        (START + 10 * MINUTE - 1, true),
        (START + 10 * MINUTE, false),
        (START - 1, false),
        (0, false),
        (Moment::MAX, false),
    ] {
        let desk = Desk::new();
        desk.approved(None);
        assert_eq!(desk.passes(&sheet(), now), passes, "{now}");
    }
    // A ticket that has waited too long is not approved any more.
    for late in [START + 10 * MINUTE, START - 1] {
        let desk = Desk::new();
        let ticket = desk.tickets.issue_at(&sheet(), START).unwrap();
        let waiting = desk.waiting(&ticket, START);
        assert_eq!(desk.tickets.approve_at(&waiting, None, late).unwrap_err().kind(), crate::error::Kind::NotFound);
        assert!(!desk.passes(&sheet(), late));
    }
}

#[test]
fn a_file_that_was_written_over_approves_nothing_else() {
    let edits: [fn(&mut Value); 7] = [
        |file| file["expires"] = json!(START + 60 * MINUTE),
        |file| file["approved"] = json!(START - MINUTE),
        |file| file["principal"] = "os:other".into(),
        |file| file["ticket"] = "0000-0000".into(),
        |file| file["form"] = 2.into(),
        |file| file["more"] = 2.into(),
        |file| *file = json!([]),
    ];
    for (number, edit) in edits.iter().enumerate() {
        let desk = Desk::new();
        let ticket = desk.approved(None);
        desk.edit("approved", &ticket, edit);
        assert!(!desk.passes(&sheet(), START + 1), "edit {number}");
    }
}

#[test]
fn another_call_needs_another_approval() {
    let desk = Desk::new();
    desk.approved(None);
    let changes: [fn(&mut Sheet); 5] = [
        |sheet| sheet.objects[0].digest = "d2".into(),
        |sheet| sheet.principal = "os:other".into(),
        |sheet| sheet.host = "staging".into(),
        |sheet| sheet.tool = "prune_volumes".into(),
        |sheet| drop(sheet.arguments.insert("force".into(), true.into())),
    ];
    for change in changes {
        let mut other = sheet();
        change(&mut other);
        assert!(!desk.passes(&other, START + 1), "{other:?}");
    }
    assert!(desk.passes(&sheet(), START + 1), "the attempts have not used it up");
}

#[test]
fn with_a_verifier_only_the_passphrase_approves() {
    let passphrase = Secret::new("correct horse battery staple");
    let verifier = Verifier::new(&passphrase).unwrap();
    let key = verifier.unlock(&passphrase).unwrap().unwrap();
    let foreign = Verifier::new(&passphrase).unwrap().unlock(&passphrase).unwrap();
    assert!(foreign.is_some());
    for (key, passes) in [(Some(&key), true), (None, false)] {
        let desk = Desk::new();
        desk.approved(key);
        assert_eq!(desk.passes_with(&sheet(), Some(&verifier), START + 1), passes);
    }
    let stranger = Secret::new("another long passphrase");
    let stranger = Verifier::new(&stranger).unwrap().unlock(&stranger).unwrap().unwrap();
    let desk = Desk::new();
    desk.approved(Some(&stranger));
    assert!(!desk.passes_with(&sheet(), Some(&verifier), START + 1));
    // A signature holds for one ticket, one call and one time.
    let edits: [fn(&mut Value); 3] = [
        |file| {
            let mut other = sheet();
            other.host = "staging".into();
            file["binding"] = json!(other.binding());
        },
        |file| {
            file["approved"] = json!(START + 1);
            file["expires"] = json!(START + 1 + 10 * MINUTE);
        },
        |file| drop(file.as_object_mut().unwrap().remove("signature")),
    ];
    for (number, edit) in edits.iter().enumerate() {
        let desk = Desk::new();
        let ticket = desk.approved(Some(&key));
        desk.edit("approved", &ticket, edit);
        let mut other = sheet();
        other.host = "staging".into();
        for sheet in [sheet(), other] {
            assert!(!desk.passes_with(&sheet, Some(&verifier), START + 2), "edit {number}");
        }
    }
    let desk = Desk::new();
    let ticket = desk.approved(Some(&key));
    let another = Ticket::new().unwrap();
    std::fs::rename(desk.file("approved", &ticket), desk.file("approved", &another)).unwrap();
    desk.edit("approved", &another, |file| file["ticket"] = json!(another));
    assert!(!desk.passes_with(&sheet(), Some(&verifier), START + 1));
}

#[test]
fn what_was_shown_is_what_is_approved() {
    let desk = Desk::new();
    let ticket = desk.tickets.issue_at(&sheet(), START).unwrap();
    let shown = desk.waiting(&ticket, START);
    desk.edit("pending", &ticket, |file| file["sheet"]["host"] = "other".into());
    let error = desk.tickets.approve_at(&shown, None, START).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Conflict);
    assert!(!desk.file("approved", &ticket).exists() && !desk.file("pending", &ticket).exists());
    // The same words in another file are another file.
    let ticket = desk.tickets.issue_at(&sheet(), START).unwrap();
    let (shown, path) = (desk.waiting(&ticket, START), desk.file("pending", &ticket));
    let aside = path.with_extension("aside");
    std::fs::copy(&path, &aside).unwrap();
    std::fs::rename(&aside, &path).unwrap();
    assert!(desk.tickets.approve_at(&shown, None, START).is_err());
    // And nobody approves twice.
    let ticket = desk.tickets.issue_at(&sheet(), START).unwrap();
    let shown = desk.waiting(&ticket, START);
    desk.tickets.approve_at(&shown, None, START).unwrap();
    assert!(desk.tickets.approve_at(&shown, None, START).is_err());
}

#[test]
fn the_same_call_waits_under_one_ticket() {
    let desk = Desk::new();
    let ticket = desk.tickets.issue_at(&sheet(), START).unwrap();
    assert_eq!(desk.tickets.issue_at(&sheet(), START + 8 * MINUTE).unwrap(), ticket);
    assert_eq!(desk.other().issue_at(&sheet(), START + 1).unwrap(), ticket);
    assert_ne!(desk.tickets.issue_at(&sheet(), START + 9 * MINUTE).unwrap(), ticket, "it would be over too soon");
    let mut other = sheet();
    other.principal = "os:other".into();
    assert_ne!(desk.tickets.issue_at(&other, START).unwrap(), ticket);
}

#[test]
fn nobody_fills_the_disk() {
    let desk = Desk::new();
    let mut other = sheet();
    other.principal = "os:other".into();
    let kept = desk.tickets.issue_at(&other, START).unwrap();
    let made: Vec<Ticket> = (0..70_u64)
        .map(|number| {
            let mut sheet = sheet();
            sheet.arguments.insert("number".into(), number.into());
            desk.tickets.issue_at(&sheet, START + number).unwrap()
        })
        .collect();
    let store = Store::find(&desk.tickets.state).unwrap().unwrap();
    let left = waiting(&store, START + 100).unwrap();
    let own: Vec<&Ticket> = left.iter().map(|waiting| &waiting.ticket).filter(|ticket| **ticket != kept).collect();
    assert_eq!(own, made[20..].iter().collect::<Vec<_>>());
    assert_eq!(left.len(), 51);
}

#[test]
fn a_no_on_the_terminal_holds_for_a_minute() {
    let desk = Desk::new();
    let ticket = desk.tickets.issue(&sheet()).unwrap();
    desk.tickets.reject(&ticket).unwrap();
    let binding = sheet().binding();
    let at = now();
    assert!(desk.tickets.rejected_at(&binding, at).unwrap());
    assert!(!desk.tickets.rejected_at(&binding, at + MINUTE).unwrap());
    let mut other = sheet();
    other.host = "staging".into();
    assert!(!desk.tickets.rejected_at(&other.binding(), at).unwrap());
    assert!(desk.tickets.find(&ticket).is_err() && desk.tickets.waiting().unwrap().is_empty());
    assert!(desk.tickets.reject(&ticket).is_err());
}

#[test]
fn many_at_once_and_one_passes() {
    for _ in 0..10 {
        let desk = Desk::new();
        desk.approved(None);
        let (principal, binding) = (sheet().principal, sheet().binding());
        let passed = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let other = desk.other();
                    let (desk, principal, binding) = (&desk, &principal, &binding);
                    scope.spawn(move || {
                        let tickets = if number % 2 == 0 { &desk.tickets } else { &other };
                        tickets.consume_at(principal, binding, None, START + 1).unwrap().is_some()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|passed| *passed).count()
        });
        assert_eq!(passed, 1);
    }
}

#[test]
fn nothing_is_there_before_it_is_needed() {
    let desk = Desk::new();
    assert!(!desk.passes(&sheet(), START) && desk.tickets.waiting().unwrap().is_empty());
    assert!(desk.tickets.find(&Ticket::new().unwrap()).is_err());
    assert!(!desk.tickets.state.exists());
}
