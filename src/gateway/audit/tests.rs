use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
    time::Instant,
};

use serde_json::json;
use tempfile::TempDir;

use super::{
    chain::Sealed,
    verify::{Report, verify},
    *,
};
use crate::error::Kind;

fn settings(size: u64, keep: usize) -> AuditSettings {
    AuditSettings { directory: None, size, keep }
}

fn audit(state: &TempDir) -> Audit {
    Audit::new(Some(state.path().to_owned()), &AuditSettings::default())
}

fn opening(call: &str) -> Opening {
    Opening {
        call: call.to_owned(),
        caller: Caller::test(),
        tool: "remove_container".to_owned(),
        via: None,
        hosts: vec!["prod".to_owned()],
        effect: Some(Effect::Destroy),
        permissions: Some(Permissions::READ),
        decision: Some("allow"),
        rule: None,
        arguments: json!({"containers": [call]}),
    }
}

fn closing(call: &str) -> Closing {
    let Opening { caller, tool, hosts, .. } = opening(call);
    Closing {
        call: call.to_owned(),
        caller,
        tool,
        hosts,
        outcome: "ok".to_owned(),
        error: None,
        detail: None,
        took: Duration::from_millis(12),
        bytes: 34,
    }
}

async fn calls(audit: &Audit, names: impl IntoIterator<Item = impl AsRef<str>>) {
    for name in names {
        audit.open(opening(name.as_ref()), false).await.unwrap();
        audit.close(closing(name.as_ref())).await;
    }
}

fn files(state: &TempDir) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(state.path().join("audit")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn lines(file: &PathBuf) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

fn proof(state: &TempDir) -> Report {
    verify(&state.path().join("audit")).unwrap()
}

/// What is wrong, without the name of the file.
fn wrong(state: &TempDir) -> Vec<String> {
    let problems = proof(state).problems;
    problems.into_iter().map(|problem| format!("{:?} {}", problem.line.unwrap_or_default(), problem.what)).collect()
}

/// A closed file with five calls: a header, ten lines, a closing line.
async fn five_calls() -> (TempDir, PathBuf, Vec<String>) {
    let state = tempfile::tempdir().unwrap();
    let audit = audit(&state);
    calls(&audit, ["a", "b", "c", "d", "e"]).await;
    audit.finish().await;
    let file = files(&state).remove(0);
    let lines = lines(&file);
    assert_eq!(lines.len(), 12);
    (state, file, lines)
}

fn write(file: &PathBuf, lines: &[String]) {
    fs::write(file, format!("{}\n", lines.join("\n"))).unwrap();
}

#[tokio::test]
async fn a_call_is_two_lines_of_a_chain() {
    let state = tempfile::tempdir().unwrap();
    let audit = audit(&state);
    assert!(files(&state).is_empty());
    let long = Value::from("x".repeat(100_000));
    audit
        .open(Opening { arguments: long, rule: Some("approved: confirm".to_owned()), ..opening("a") }, true)
        .await
        .unwrap();
    let file = files(&state).remove(0);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 2, "the line is there when the call goes on");
    let denied = Closing {
        outcome: "unreachable".to_owned(),
        error: Some("host \"prod\" cannot be reached\nline".to_owned()),
        detail: Some("10.0.0.1".to_owned()),
        ..closing("a")
    };
    audit.close(denied).await;
    audit.finish().await;
    let lines: Vec<Sealed> = lines(&file).iter().map(|line| Sealed::read(line.as_bytes()).unwrap()).collect();
    let events: Vec<&str> = lines.iter().map(|line| line.text("event")).collect();
    assert_eq!(events, ["header", "start", "end", "closed"]);
    let start = &lines[1].fields;
    for field in
        ["time", "seq", "id", "caller", "protocol", "tool", "hosts", "effect", "permissions", "decision", "rule"]
    {
        assert!(start.contains_key(field), "{field}");
    }
    assert_eq!(start["arguments"]["bytes"], 100_002);
    assert!(lines[1].text("time").ends_with('Z') && lines[1].text("time").len() == "2026-11-20T08:00:00.000Z".len());
    let end = &lines[2].fields;
    assert_eq!(
        (&end["outcome"], &end["ms"], &end["bytes"], &end["tool"]),
        (&json!("unreachable"), &json!(12), &json!(34), &json!("remove_container"))
    );
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(wrong(&state), Vec::<String>::new());
    assert_eq!(proof(&state).files[0].state, "closed");
}

#[tokio::test]
async fn every_kind_of_tampering_is_told_with_its_line() {
    let (state, file, whole) = five_calls().await;
    assert_eq!(wrong(&state), Vec::<String>::new());
    let changed: Vec<String> = whole.iter().map(|line| line.replace("[\"c\"]", "[\"x\"]")).collect();
    let mut removed = whole.clone();
    removed.remove(4);
    let mut many_removed = whole.clone();
    many_removed.drain(4..7);
    let mut reordered = whole.clone();
    reordered.swap(4, 5);
    let mut repeated = whole.clone();
    repeated.insert(6, whole[3].clone());
    let mut foreign = whole.clone();
    foreign.insert(3, "{\"event\":\"start\"}".to_owned());
    let mut headless = whole.clone();
    headless.remove(0);
    let mut behind = whole.clone();
    behind.push(whole[5].clone());
    // A line with another content and a hash that fits it.
    let forged = |at: usize, seq: u64| {
        let before = Sealed::read(whole[at - 1].as_bytes()).unwrap();
        let mut fields = Sealed::read(whole[at].as_bytes()).unwrap().fields;
        fields.shift_remove("prev");
        fields.shift_remove("hash");
        fields.insert("tool".into(), "list_hosts".into());
        fields.insert("seq".into(), seq.into());
        let mut text = String::new();
        chain::seal(&fields, before.hash, &mut text).unwrap();
        text.trim_end().to_owned()
    };
    let mut replaced = whole.clone();
    replaced[5] = forged(5, 6);
    let mut inserted = whole.clone();
    inserted.insert(5, forged(5, 6));
    for (name, tampered, expected) in [
        ("changed", changed, vec!["6 was changed: its hash is that of other words"]),
        ("removed", removed, vec!["5 line 5 was removed in front of it"]),
        ("many removed", many_removed, vec!["5 lines 5 to 7 (3) were removed in front of it"]),
        ("reordered", reordered, vec!["6 is number 5 and stands where it does not belong"]),
        ("repeated", repeated, vec!["7 is number 4 and stands where it does not belong"]),
        ("foreign", foreign, vec!["4 is no line of the audit"]),
        ("headless", headless, vec!["1 line 1 was removed in front of it"]),
        ("behind", behind, vec!["13 was added behind the line that closed the file"]),
        (
            "replaced",
            replaced,
            vec!["7 does not follow the line before it: one of the two was replaced, with its hash made anew"],
        ),
        (
            "inserted",
            inserted,
            vec![
                "7 is number 6 and stands where it does not belong",
                "8 does not follow the line before it: one of the two was replaced, with its hash made anew",
            ],
        ),
    ] {
        write(&file, &tampered);
        assert_eq!(wrong(&state), expected, "{name}");
    }
    fs::write(&file, &fs::read(&file).unwrap()[..100]).unwrap();
    assert_eq!(wrong(&state), ["1 is cut off in its middle"]);
    fs::write(&file, "").unwrap();
    assert_eq!(wrong(&state), ["0 is empty: it was emptied, or its process died before its first line"]);
    // What no check can see alone is at least said.
    write(&file, &whole[..8]);
    let report = proof(&state);
    assert!(report.problems.is_empty() && report.notes[0].contains("no closing line"), "{report:?}");
    assert!(report.blind[0].contains("cut off"));
}

#[tokio::test]
async fn files_are_chained_to_each_other() {
    let (state, file, whole) = five_calls().await;
    let second = audit(&state);
    calls(&second, ["f"]).await;
    second.finish().await;
    let newest = files(&state).remove(1);
    let header = Sealed::read(lines(&newest)[0].as_bytes()).unwrap();
    let last = Sealed::read(whole[11].as_bytes()).unwrap();
    assert_eq!(header.previous, last.hash);
    assert_eq!(header.fields["follows"][0]["file"], file.file_name().unwrap().to_str().unwrap());
    assert_eq!(wrong(&state), Vec::<String>::new());

    write(&file, &whole[..8]);
    assert!(
        wrong(&state)[0].starts_with("0 lines were cut off at its end: it had 12 when audit-"),
        "{:?}",
        wrong(&state)
    );
    // A chain that was written anew from the second line on.
    let mut text = format!("{}\n", whole[0]);
    let mut hash = Sealed::read(whole[0].as_bytes()).unwrap().hash;
    for line in &whole[1..] {
        let mut fields = Sealed::read(line.as_bytes()).unwrap().fields;
        fields.shift_remove("prev");
        fields.shift_remove("hash");
        if fields["event"] == "start" {
            fields.insert("tool".into(), "list_hosts".into());
        }
        hash = chain::seal(&fields, hash, &mut text).unwrap();
    }
    fs::write(&file, text).unwrap();
    assert!(wrong(&state)[0].starts_with("12 is not the line that audit-"), "{:?}", wrong(&state));
    // A copy under another name, over another file.
    fs::copy(&newest, &file).unwrap();
    assert!(wrong(&state).iter().any(|wrong| wrong.contains("was copied or renamed")), "{:?}", wrong(&state));
    fs::remove_file(&file).unwrap();
    assert!(wrong(&state)[0].starts_with("0 is gone: it had 12 lines when audit-"), "{:?}", wrong(&state));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_write_at_once_and_each_has_its_chain() {
    let state = tempfile::tempdir().unwrap();
    let audits: Vec<Arc<Audit>> = (0..3).map(|_| Arc::new(audit(&state))).collect();
    let tasks: Vec<_> = (0..12)
        .map(|task| {
            let audit = audits[task % 3].clone();
            tokio::spawn(async move {
                for call in 0..50 {
                    let name = format!("{task}-{call}");
                    audit.open(opening(&name), call % 10 == 0).await.unwrap();
                    audit.close(closing(&name)).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for audit in &audits {
        audit.flush().await;
    }
    let report = proof(&state);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.files.iter().map(|file| file.state).collect::<Vec<_>>(), ["open"; 3]);
    assert_eq!(report.lines, 3 + 12 * 50 * 2);
    for audit in &audits {
        audit.finish().await;
    }
    assert_eq!(proof(&state).lines, 3 + 12 * 50 * 2 + 3);
    let rows = audits[0].read(Wanted { limit: 1000, ..Wanted::default() }).await.unwrap();
    assert_eq!(rows.len(), 600);
    assert!(rows.iter().all(|row| row["outcome"] == "ok" && row["ms"] == 12), "{:?}", rows[0]);
}

#[tokio::test]
async fn full_files_are_followed_by_new_ones_and_enough_are_kept() {
    let state = tempfile::tempdir().unwrap();
    let audit = Audit::new(Some(state.path().to_owned()), &settings(8 << 10, 3));
    for round in 0..60 {
        calls(&audit, [format!("{round}")]).await;
        audit.flush().await;
    }
    let report = proof(&state);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!((3..=5).contains(&report.files.len()), "{:?}", report.files);
    assert!(report.notes.iter().any(|note| note.contains("older files were removed")), "{:?}", report.notes);
    let rows = audit.read(Wanted { limit: 10, ..Wanted::default() }).await.unwrap();
    let names: Vec<&Value> = rows.iter().map(|row| &row["arguments"]["containers"][0]).collect();
    assert_eq!(names, (50..60).map(|round| round.to_string()).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    // One of those that are to be there.
    let kept = files(&state);
    fs::remove_file(&kept[1]).unwrap();
    assert!(wrong(&state).iter().any(|wrong| wrong.contains("is gone")), "{:?}", wrong(&state));
}

#[tokio::test]
async fn many_small_files_push_nothing_out() {
    let state = tempfile::tempdir().unwrap();
    for round in 0..30 {
        let audit = Audit::new(Some(state.path().to_owned()), &settings(1 << 20, 3));
        calls(&audit, [format!("{round}")]).await;
        audit.finish().await;
    }
    assert_eq!(files(&state).len(), 30);
    let report = proof(&state);
    assert!(report.problems.is_empty() && report.notes.is_empty(), "{report:?}");
    let foreign = state.path().join("audit/notes.txt");
    fs::write(&foreign, "mine").unwrap();
    let audit = Audit::new(Some(state.path().to_owned()), &settings(1024, 2));
    calls(&audit, ["last"]).await;
    audit.finish().await;
    assert!(foreign.exists(), "what is not ours stays");
    assert!((2..=5).contains(&files(&state).len()), "{:?}", files(&state));
    let report = proof(&state);
    assert!(report.problems.is_empty(), "{report:?}");
}

#[tokio::test]
async fn a_directory_that_others_steer_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let detail = |error: Error| {
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.hint_text().unwrap().starts_with("reads still work"), "{error:?}");
        error.detail_text().unwrap().to_owned()
    };
    symlink(elsewhere.path(), state.path().join("audit")).unwrap();
    let audit = audit(&state);
    assert!(detail(audit.open(opening("a"), true).await.unwrap_err()).contains("symbolic link"));
    audit.open(opening("a"), false).await.unwrap();
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());

    fs::remove_file(state.path().join("audit")).unwrap();
    fs::create_dir(state.path().join("audit")).unwrap();
    fs::set_permissions(state.path().join("audit"), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(detail(audit.open(opening("b"), true).await.unwrap_err()).contains("others can write"));
    fs::set_permissions(state.path().join("audit"), fs::Permissions::from_mode(0o700)).unwrap();
    audit.open(opening("c"), true).await.unwrap();
    audit.finish().await;
    let rows = audit.read(Wanted { limit: 9, ..Wanted::default() }).await.unwrap();
    assert_eq!(
        rows[0]["error"],
        format!(
            "3 lines are missing: {}: others can write in the directory: chmod 700 mends that",
            state.path().join("audit").display()
        )
    );
    assert_eq!(rows[1]["id"], "c");

    // A link in the place of a file is not followed, by nobody.
    let secret = elsewhere.path().join("secret");
    fs::write(&secret, "not for the audit\n").unwrap();
    symlink(&secret, state.path().join("audit/audit-20200101T000000.000Z-1.jsonl")).unwrap();
    assert_eq!(wrong(&state), ["0 it is a symbolic link"]);
    assert_eq!(audit.read(Wanted { limit: 9, ..Wanted::default() }).await.unwrap().len(), 2);
    calls(&audit, ["d"]).await;
    audit.finish().await;
    assert_eq!(wrong(&state), ["0 it is a symbolic link"]);
}

#[tokio::test]
async fn a_directory_that_vanishes_stops_writes_until_it_is_back() {
    let state = tempfile::tempdir().unwrap();
    let audit = audit(&state);
    let directory = state.path().join("audit");
    audit.open(opening("a"), true).await.unwrap();
    fs::remove_dir_all(&directory).unwrap();
    let error = audit.open(opening("b"), true).await.unwrap_err();
    assert_eq!(error.message(), "the audit cannot be written, so nothing that changes an engine is sent");
    assert!(!directory.exists(), "nobody hides that it was removed");
    audit.open(opening("read"), false).await.unwrap();
    audit.flush().await;
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    audit.open(opening("c"), true).await.unwrap();
    audit.finish().await;
    assert!(wrong(&state)[0].starts_with("0 is gone: it had 2 lines when audit-"), "{:?}", wrong(&state));
    assert!(fs::read_to_string(&files(&state)[0]).unwrap().contains("\"event\":\"gap\",\"lines\":2"));
}

#[tokio::test]
async fn a_file_that_is_taken_away_is_named_by_the_next() {
    let state = tempfile::tempdir().unwrap();
    let audit = audit(&state);
    calls(&audit, ["a"]).await;
    audit.flush().await;
    fs::remove_file(&files(&state)[0]).unwrap();
    audit.open(opening("b"), true).await.unwrap();
    assert_eq!(files(&state).len(), 1);
    assert!(wrong(&state)[0].starts_with("0 is gone: it had 3 lines when audit-"), "{:?}", wrong(&state));
}

#[tokio::test]
async fn without_a_directory_nothing_that_changes_is_sent() {
    let audit = Audit::new(None, &AuditSettings::default());
    audit.open(opening("a"), false).await.unwrap();
    let error = audit.open(opening("b"), true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.hint_text().unwrap().contains("XDG_STATE_HOME"));
    assert!(audit.read(Wanted { limit: 9, ..Wanted::default() }).await.unwrap().is_empty());
    audit.finish().await;
}

#[tokio::test]
async fn rows_join_start_and_end_and_can_be_chosen() {
    let state = tempfile::tempdir().unwrap();
    let audit = audit(&state);
    calls(&audit, ["a", "b"]).await;
    let other = Caller { principal: "os:other".to_owned(), ..Caller::test() };
    let denied = Opening {
        caller: other.clone(),
        tool: "list_hosts".to_owned(),
        hosts: vec!["a".to_owned(), "staging".to_owned()],
        decision: Some("deny"),
        ..opening("c")
    };
    audit.open(denied, false).await.unwrap();
    audit
        .close(Closing {
            outcome: "denied".to_owned(),
            error: Some("no".to_owned()),
            detail: Some("why".to_owned()),
            ..closing("c")
        })
        .await;
    audit.open(opening("runs"), false).await.unwrap();
    let read = async |wanted: Wanted| -> Vec<String> {
        let rows = audit.read(Wanted { limit: wanted.limit.max(2), ..wanted }).await.unwrap();
        rows.iter()
            .map(|row| format!("{}: {}", row["id"].as_str().unwrap(), row["outcome"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(read(Wanted { limit: 9, ..Wanted::default() }).await, ["a: ok", "b: ok", "c: denied", "runs: running"]);
    assert_eq!(read(Wanted::default()).await, ["c: denied", "runs: running"]);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(read(Wanted { principal: text("os:other"), ..Wanted::default() }).await, ["c: denied"]);
    assert_eq!(read(Wanted { tool: text("list_hosts"), ..Wanted::default() }).await, ["c: denied"]);
    assert_eq!(read(Wanted { host: text("staging"), ..Wanted::default() }).await, ["c: denied"]);
    assert_eq!(read(Wanted { outcome: text("failed"), ..Wanted::default() }).await, ["c: denied"]);
    assert_eq!(read(Wanted { outcome: text("ok"), ..Wanted::default() }).await, ["a: ok", "b: ok"]);
    let later = jiff::Timestamp::now() + Duration::from_secs(60);
    assert!(read(Wanted { since: Some(later), ..Wanted::default() }).await.is_empty());
    // A process that is gone does not run.
    drop(audit.writer.into_inner());
    let again = Audit::new(Some(state.path().to_owned()), &AuditSettings::default());
    let started = Instant::now();
    loop {
        let rows = again.read(Wanted { limit: 1, ..Wanted::default() }).await.unwrap();
        if rows[0]["outcome"] == "unknown" {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{rows:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let closed = lines(&files(&state)[0]).pop().unwrap();
    assert!(closed.contains("\"event\":\"closed\",\"reason\":\"end\",\"unfinished\":[\"runs\"]"), "{closed}");
}
