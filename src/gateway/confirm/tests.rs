//! Tests of the questions: every voice, every reply.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use tempfile::TempDir;

use super::{tickets::Tickets, *};

fn question() -> Question {
    Question {
        principal: "os:ops".into(),
        host: "prod".into(),
        tool: "remove_volume",
        effect: Effect::Destroy,
        reasons: vec!["remove_volume destroys data".into()],
        arguments: json!({"volumes": ["data"]}).as_object().unwrap().clone(),
        objects: vec![Identity { kind: "volume", name: "data".into(), id: "data".into(), digest: "d1".into() }],
    }
}

struct Room {
    approvals: Approvals,
    state: PathBuf,
    _directory: TempDir,
}

fn room() -> Room {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    Room { approvals: Approvals::new(Some(state.clone()), None).unwrap(), state, _directory: directory }
}

impl Room {
    async fn settle(&self, voice: &Voice) -> Result<(), Pause> {
        self.approvals.settle(&question(), voice).await
    }

    /// Has the question answered; the state of it.
    async fn asked(&self, question: &Question) -> String {
        match self.approvals.settle(question, &Voice::Returned(None)).await {
            Err(Pause::Asked { form, state }) => {
                assert_eq!(form.host, question.host);
                state
            }
            other => panic!("{other:?}"),
        }
    }
}

fn yes(host: &str) -> Reply {
    Reply::Accepted { host: host.into() }
}

/// A person who always says the same, and how often they were asked.
fn person(reply: Reply) -> (Voice, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let count = asked.clone();
    let voice = Voice::Live(Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        let reply = reply.clone();
        Box::pin(async move { reply })
    }));
    (voice, asked)
}

fn returned(state: &str, reply: Reply) -> Voice {
    Voice::Returned(Some(Returned { state: state.into(), reply }))
}

#[track_caller]
fn error(outcome: Result<(), Pause>) -> Error {
    match outcome {
        Err(Pause::Refused(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn kind(outcome: Result<(), Pause>) -> Kind {
    error(outcome).kind()
}

#[tokio::test]
async fn a_yes_has_the_hosts_name_in_it() {
    for (typed, passes) in
        [("prod", true), (" prod\n", true), ("", false), ("PROD", false), ("prod2", false), ("yes", false)]
    {
        let room = room();
        let (voice, asked) = person(yes(typed));
        let outcome = room.settle(&voice).await;
        assert_eq!(outcome.is_ok(), passes, "{typed:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        if !passes {
            assert_eq!(kind(outcome), Kind::Denied);
        }
        // The next call is another one.
        room.settle(&voice).await.ok();
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn the_person_sees_everything() {
    let seen = Arc::<Mutex<Option<Form>>>::default();
    let kept = seen.clone();
    let voice = Voice::Live(Arc::new(move |form| {
        *kept.lock().unwrap() = Some(form);
        Box::pin(async { Reply::Declined })
    }));
    room().settle(&voice).await.unwrap_err();
    let form = seen.lock().unwrap().clone().unwrap();
    for part in
        ["remove_volume on host \"prod\" (destroy)", "os:ops", "destroys data", "volumes: [\"data\"]", "id data"]
    {
        assert!(form.message.contains(part), "{part}: {form:?}");
    }
}

#[tokio::test]
async fn a_no_holds_for_a_minute() {
    for reply in [Reply::Declined, Reply::Dismissed] {
        let room = room();
        let (voice, asked) = person(reply.clone());
        assert_eq!(kind(room.settle(&voice).await), Kind::Denied);
        for voice in [&voice, &Voice::Silent, &Voice::Returned(None)] {
            let error = error(room.settle(voice).await);
            assert_eq!(error.kind(), Kind::Denied);
            assert!(error.message().contains("less than a minute ago"), "{error}");
            assert!(error.hint_text().unwrap().contains("report it"));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let mut other = question();
        other.arguments["volumes"] = json!(["other"]);
        room.approvals.settle(&other, &voice).await.unwrap_err();
        assert_eq!(asked.load(Ordering::Relaxed), 2, "another call is asked about");

        let state = room.asked(&Question { host: "staging".into(), ..question() }).await;
        let staging = Question { host: "staging".into(), ..question() };
        assert_eq!(kind(room.approvals.settle(&staging, &returned(&state, reply)).await), Kind::Denied);
        assert_eq!(kind(room.approvals.settle(&staging, &Voice::Silent).await), Kind::Denied);
    }
}

#[tokio::test]
async fn a_returned_question_is_answered_once_and_by_its_own_call() {
    let room = room();
    let state = room.asked(&question()).await;
    room.settle(&returned(&state, yes("prod"))).await.unwrap();
    let error = error(room.settle(&returned(&state, yes("prod"))).await);
    assert!(error.kind() == Kind::Denied && error.hint_text().unwrap().contains("again"), "{error:?}");

    let changes: [fn(&mut Question); 6] = [
        |question| question.principal = "os:other".into(),
        |question| question.host = "staging".into(),
        |question| question.tool = "prune_volumes",
        |question| question.effect = Effect::Mutate,
        |question| question.arguments["volumes"] = json!(["data", "more"]),
        |question| question.objects[0].digest = "d2".into(),
    ];
    for change in changes {
        let state = room.asked(&question()).await;
        let mut other = question();
        change(&mut other);
        assert_eq!(kind(room.approvals.settle(&other, &returned(&state, yes(&other.host))).await), Kind::Denied);
        // The attempt has closed the question.
        assert_eq!(kind(room.settle(&returned(&state, yes("prod"))).await), Kind::Denied);
    }
    for reply in [yes(""), yes("staging"), Reply::Unheard] {
        let state = room.asked(&question()).await;
        room.settle(&returned(&state, reply)).await.unwrap_err();
        assert_eq!(kind(room.settle(&returned(&state, yes("prod"))).await), Kind::Denied);
    }
    for forged in ["", "0", &"0".repeat(64), &state.to_uppercase()] {
        assert_eq!(kind(room.settle(&returned(forged, yes("prod"))).await), Kind::Denied, "{forged}");
    }
    // A state is worth nothing at another gateway.
    let state = room.asked(&question()).await;
    let other = super::tests::room();
    assert_eq!(kind(other.settle(&returned(&state, yes("prod"))).await), Kind::Denied);
}

#[tokio::test]
async fn whoever_cannot_be_asked_gets_a_ticket() {
    let room = room();
    let error = error(room.settle(&Voice::Silent).await);
    assert_eq!(error.kind(), Kind::ApprovalNeeded);
    assert_eq!(error.message(), "a person has to approve this call: remove_volume destroys data");
    let tickets = Tickets::new(room.state.clone());
    let waiting = tickets.waiting().unwrap();
    assert_eq!(waiting.len(), 1);
    assert!(error.hint_text().unwrap().contains(&format!("\"quaymaster approve {}\"", waiting[0].ticket)), "{error:?}");
    let again = super::tests::error(room.settle(&person(Reply::Unheard).0).await);
    assert_eq!(again.hint_text(), error.hint_text());

    tickets.approve(&waiting[0], None).unwrap();
    let (voice, asked) = person(Reply::Declined);
    room.settle(&voice).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 0, "it was approved already");
    assert_eq!(kind(room.settle(&Voice::Silent).await), Kind::ApprovalNeeded);
}

#[tokio::test]
async fn a_question_that_nobody_hears_becomes_a_ticket() {
    let mut room = room();
    assert_eq!(room.approvals.patience, Duration::from_secs(40));
    room.approvals.patience = Duration::from_millis(20);
    let nobody = Voice::Live(Arc::new(|_| Box::pin(std::future::pending())));
    let asked = tokio::time::timeout(Duration::from_secs(10), room.settle(&nobody)).await;
    assert_eq!(kind(asked.unwrap()), Kind::ApprovalNeeded);
    assert_eq!(Tickets::new(room.state.clone()).waiting().unwrap().len(), 1);
}

#[tokio::test]
async fn a_ticket_that_was_rejected_is_not_asked_about_again() {
    let room = room();
    room.settle(&Voice::Silent).await.unwrap_err();
    let tickets = Tickets::new(room.state.clone());
    tickets.reject(&tickets.waiting().unwrap()[0].ticket).unwrap();
    let (voice, asked) = person(yes("prod"));
    assert_eq!(kind(room.settle(&voice).await), Kind::Denied);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_no_in_the_client_leaves_the_approval_of_the_terminal_alone() {
    let room = room();
    let state = room.asked(&question()).await;
    room.settle(&Voice::Silent).await.unwrap_err();
    let tickets = Tickets::new(room.state.clone());
    tickets.approve(&tickets.waiting().unwrap()[0], None).unwrap();
    assert_eq!(kind(room.settle(&returned(&state, Reply::Declined)).await), Kind::Denied);
    room.settle(&Voice::Silent).await.unwrap();
}

#[tokio::test]
async fn what_is_too_long_for_a_client_goes_to_the_terminal_and_no_further() {
    let room = room();
    let mut long = question();
    long.arguments["volumes"] = json!(["x".repeat(40 << 10)]);
    let (voice, asked) = person(yes("prod"));
    for voice in [&voice, &Voice::Returned(None)] {
        assert_eq!(kind(room.approvals.settle(&long, voice).await), Kind::ApprovalNeeded);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    long.arguments["volumes"] = json!(["x".repeat(300 << 10)]);
    let error = error(room.approvals.settle(&long, &voice).await);
    assert!(error.kind() == Kind::Denied && error.message().contains("KiB is too large"), "{error}");
    assert_eq!(Tickets::new(room.state.clone()).waiting().unwrap().len(), 1);
}

#[tokio::test]
async fn without_a_state_directory_the_answer_says_what_to_set() {
    let approvals = Approvals::new(None, None).unwrap();
    let error = error(approvals.settle(&question(), &Voice::Silent).await);
    assert_eq!(error.kind(), Kind::ApprovalNeeded);
    assert!(error.hint_text().unwrap().contains("XDG_STATE_HOME"), "{error:?}");
    approvals.settle(&question(), &person(yes("prod")).0).await.unwrap();
}

#[tokio::test]
async fn a_state_directory_of_others_stops_tickets_only() {
    let room = room();
    std::fs::create_dir(&room.state).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&room.state, open).unwrap();
    let error = error(room.settle(&Voice::Silent).await);
    assert!(error.kind() == Kind::Config && error.detail_text().unwrap().contains("chmod 700"), "{error:?}");
    assert!(!error.message().contains(room.state.to_str().unwrap()));
    room.settle(&person(yes("prod")).0).await.unwrap();
}

#[test]
fn a_verifier_that_makes_no_sense_stops_the_start() {
    let error = Approvals::new(None, Some("hunter2 hunter2")).err().unwrap();
    assert!(error.kind() == Kind::Config && !error.message().contains("hunter2"), "{error}");
    assert!(error.message().contains("quaymaster approve --passphrase"));
}
