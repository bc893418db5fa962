//! Ways out of a root, in every position; and what is written, or not.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tempfile::TempDir;

use super::*;
use crate::error;

/// A directory with a root in it, and a secret beside the root.
struct Ground {
    directory: TempDir,
    files: Files,
}

impl Ground {
    fn new() -> Self {
        Self::allowing(&[])
    }

    fn allowing(allow: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::write(directory.path().join("secret"), "outside").unwrap();
        fs::write(root.join("plain"), "inside").unwrap();
        fs::write(root.join("sub/file"), "below").unwrap();
        let settings =
            FileSettings { roots: Some(vec![root]), allow: allow.iter().map(|&name| name.to_owned()).collect() };
        Self { files: Files::new(&settings, &Environment::default()), directory }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    async fn read(&self, path: &str) -> Result<String> {
        let source = self.files.open("from", path).await?;
        let length = source.length;
        let bytes: Vec<Bytes> = source.into_stream().try_collect().await?;
        assert_eq!(bytes.iter().map(Bytes::len).sum::<usize>() as u64, length);
        Ok(String::from_utf8(bytes.concat()).unwrap())
    }

    async fn refused(&self, path: &str) -> error::Kind {
        let error = self.read(path).await.unwrap_err();
        let (shown, outside) = (error.to_json().to_string(), self.directory.path().to_string_lossy().into_owned());
        assert!(path.contains(&outside) || !shown.contains(&outside), "{shown}");
        error.kind()
    }

    /// What lies in the root, by name.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.root())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn what_lies_below_a_root_is_read() {
    let ground = Ground::new();
    let root = ground.root();
    for path in ["plain", "./plain", "sub/../plain", "sub/deep/../../plain", &root.join("plain").to_string_lossy()] {
        assert_eq!(ground.read(path).await.unwrap(), "inside", "{path}");
    }
    assert_eq!(ground.files.kind("from", "sub").await.unwrap(), Kind::Directory);
    assert_eq!(ground.files.kind("from", ".").await.unwrap(), Kind::Directory);
    assert_eq!(ground.files.kind("from", "sub/file").await.unwrap(), Kind::File);
    assert_eq!(ground.read("nothing").await.unwrap_err().kind(), error::Kind::NotFound);
    assert_eq!(ground.read("plain/x").await.unwrap_err().kind(), error::Kind::NotFound);
}

#[tokio::test]
async fn no_path_leads_out() {
    let ground = Ground::new();
    let outside = ground.directory.path().join("secret");
    let beside = ground.directory.path().join("root2");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("x"), "outside").unwrap();
    for path in [
        "..",
        "../secret",
        "sub/../../secret",
        "./../root/../secret",
        "/etc/passwd",
        "/proc/self/environ",
        &outside.to_string_lossy(),
        &ground.root().join("../secret").to_string_lossy(),
        &beside.join("x").to_string_lossy(),
    ] {
        assert_eq!(ground.refused(path).await, error::Kind::Denied, "{path}");
        assert!(ground.files.create("to", path, true).await.is_err(), "{path}");
        assert!(ground.files.can_create("to", path, true).await.is_err(), "{path}");
        assert!(ground.files.directory("from", path).await.is_err(), "{path}");
    }
    assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
    for path in ["", "a\0b", "a\nb", &"x/".repeat(5000)] {
        assert_eq!(ground.refused(path).await, error::Kind::Invalid);
    }
}

#[tokio::test]
async fn a_link_in_any_position_leads_nowhere_else() {
    let ground = Ground::new();
    let (root, outside) = (ground.root(), ground.directory.path());
    symlink("plain", root.join("good")).unwrap();
    symlink("sub", root.join("gooddir")).unwrap();
    symlink("../plain", root.join("sub/up")).unwrap();
    symlink("good", root.join("chain")).unwrap();
    for (path, text) in [
        ("good", "inside"),
        ("chain", "inside"),
        ("sub/up", "inside"),
        ("gooddir/file", "below"),
        ("gooddir/up", "inside"),
        ("gooddir/../plain", "inside"),
    ] {
        assert_eq!(ground.read(path).await.unwrap(), text, "{path}");
    }
    symlink(outside.join("secret"), root.join("absolute")).unwrap();
    symlink("../secret", root.join("relative")).unwrap();
    symlink("..", root.join("dir")).unwrap();
    symlink(outside, root.join("sub/dir")).unwrap();
    symlink("absolute", root.join("via")).unwrap();
    symlink(root.join("plain"), root.join("self")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    for path in ["absolute", "relative", "dir/secret", "sub/dir/secret", "via", "self", "magic/etc/passwd"] {
        assert_eq!(ground.refused(path).await, error::Kind::Denied, "{path}");
    }
    symlink("round", root.join("round")).unwrap();
    assert_eq!(ground.refused("round").await, error::Kind::Invalid);
    for path in ["dir/new", "sub/dir/new", "magic/tmp/new"] {
        assert_eq!(ground.files.create("to", path, false).await.unwrap_err().kind(), error::Kind::Denied, "{path}");
    }
    // The last name of what is made is never followed.
    for path in ["absolute", "relative", "good"] {
        assert_eq!(ground.files.create("to", path, false).await.unwrap_err().kind(), error::Kind::Conflict, "{path}");
        assert_eq!(ground.files.create("to", path, true).await.unwrap_err().kind(), error::Kind::Invalid, "{path}");
    }
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "outside");
}

#[tokio::test]
async fn a_root_may_be_a_link_itself() {
    let ground = Ground::new();
    let link = ground.directory.path().join("link");
    symlink("root", &link).unwrap();
    let settings = FileSettings { roots: Some(vec![link.clone()]), allow: Vec::new() };
    let ground = Ground { files: Files::new(&settings, &Environment::default()), ..ground };
    for path in ["plain".into(), link.join("plain"), fs::canonicalize(&link).unwrap().join("plain")] {
        assert_eq!(ground.read(&path.to_string_lossy()).await.unwrap(), "inside", "{path:?}");
    }
    assert_eq!(ground.refused("../secret").await, error::Kind::Denied);
    assert_eq!(ground.refused(&ground.directory.path().join("secret").to_string_lossy()).await, error::Kind::Denied);
}

#[tokio::test]
async fn every_root_counts_and_one_that_is_missing_hides_no_other() {
    let ground = Ground::new();
    let missing = ground.directory.path().join("missing");
    let settings = FileSettings { roots: Some(vec![missing.clone(), ground.root()]), allow: Vec::new() };
    let ground = Ground { files: Files::new(&settings, &Environment::default()), ..ground };
    assert_eq!(ground.read(&ground.root().join("plain").to_string_lossy()).await.unwrap(), "inside");
    assert_eq!(ground.refused("plain").await, error::Kind::Config);
}

#[tokio::test]
async fn names_of_secrets_need_naming_wherever_they_stand() {
    let ground = Ground::new();
    let root = ground.root();
    fs::create_dir_all(root.join(".ssh")).unwrap();
    for path in [".env", ".env.local", "sub/tls.pem", ".ssh/config", "ID_RSA"] {
        fs::write(root.join(path), "secret").unwrap();
        assert_eq!(ground.refused(path).await, error::Kind::Denied, "{path}");
    }
    symlink(".env", root.join("harmless")).unwrap();
    symlink(".ssh", root.join("sub/harmless")).unwrap();
    for path in ["harmless", "sub/harmless/config"] {
        assert_eq!(ground.refused(path).await, error::Kind::Denied, "{path}");
    }
    assert_eq!(ground.files.create("to", "new.key", false).await.unwrap_err().kind(), error::Kind::Denied);
    assert_eq!(ground.files.create("to", ".git/config", false).await.unwrap_err().kind(), error::Kind::Denied);

    let allowing = Ground::allowing(&[".env.example", ".ssh"]);
    fs::create_dir_all(allowing.root().join(".ssh")).unwrap();
    for path in [".env.example", ".ssh/config"] {
        fs::write(allowing.root().join(path), "shown").unwrap();
        assert_eq!(allowing.read(path).await.unwrap(), "shown", "{path}");
    }
    assert_eq!(allowing.refused(".env").await, error::Kind::Denied);
    assert_eq!(allowing.refused(".ssh/id_rsa").await, error::Kind::Denied);
}

#[tokio::test]
async fn what_is_no_file_is_neither_opened_nor_waited_for() {
    let ground = Ground::new();
    let pipe = ground.root().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(ground.root().join("socket")).unwrap();
    for path in ["pipe", "socket"] {
        let refused = tokio::time::timeout(Duration::from_secs(5), ground.refused(path)).await;
        assert_eq!(refused.expect("it must not wait"), error::Kind::Invalid, "{path}");
        assert_eq!(ground.files.kind("from", path).await.unwrap_err().kind(), error::Kind::Invalid);
        assert_eq!(ground.files.create("to", path, true).await.unwrap_err().kind(), error::Kind::Invalid);
    }
    assert_eq!(ground.refused("sub").await, error::Kind::Invalid);
    assert_eq!(ground.files.directory("from", "plain").await.unwrap_err().kind(), error::Kind::Invalid);
    // A device needs a root that is none of ours.
    let settings = FileSettings { roots: Some(vec!["/dev".into()]), allow: Vec::new() };
    let devices = Files::new(&settings, &Environment::default());
    assert_eq!(devices.open("from", "null").await.unwrap_err().kind(), error::Kind::Invalid);
    assert_eq!(devices.open("from", "zero").await.unwrap_err().kind(), error::Kind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_swaps_links_meanwhile_gains_nothing() {
    let ground = Ground::new();
    let (root, outside) = (ground.root(), ground.directory.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "outside").unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let swapping = {
        let (root, outside, ended) = (root.clone(), outside.clone(), ended.clone());
        thread::spawn(move || {
            let (spare, link) = (root.join("spare"), root.join("link"));
            symlink(&outside, &link).unwrap();
            let mut swaps = 0_u32;
            while !ended.load(Ordering::Relaxed) {
                // A directory, then a link out under the same name, and back.
                fs::rename(root.join("sub"), &spare).unwrap();
                fs::rename(&link, root.join("sub")).unwrap();
                fs::rename(root.join("sub"), &link).unwrap();
                fs::rename(&spare, root.join("sub")).unwrap();
                swaps += 1;
            }
            swaps
        })
    };
    let (mut inside, mut refused, mut made) = (0, 0, 0);
    let until = std::time::Instant::now() + Duration::from_millis(1500);
    while std::time::Instant::now() < until {
        match ground.read("sub/file").await {
            Ok(text) => {
                assert_eq!(text, "below");
                inside += 1;
            }
            Err(_) => refused += 1,
        }
        if let Ok(mut draft) = ground.files.create("to", "sub/made", true).await {
            draft.write(Bytes::from_static(b"made")).await.unwrap();
            made += u32::from(draft.keep().await.is_ok());
        }
    }
    ended.store(true, Ordering::Relaxed);
    let swaps = swapping.join().unwrap();
    assert!(swaps > 100 && inside > 0 && refused > 0 && made > 0, "{swaps} {inside} {refused} {made}");
    let left: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["file"], "something was written outside");
}

#[tokio::test]
async fn a_file_has_its_name_when_it_is_whole() {
    let ground = Ground::new();
    let mut draft = ground.files.create("to", "sub/../new.tar", false).await.unwrap();
    draft.write(Bytes::from_static(b"one ")).await.unwrap();
    assert!(!ground.root().join("new.tar").exists());
    draft.write(Bytes::from_static(b"two")).await.unwrap();
    assert_eq!(draft.keep().await.unwrap(), 7);
    let file = ground.root().join("new.tar");
    assert_eq!(fs::read_to_string(&file).unwrap(), "one two");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(ground.names(), ["new.tar", "plain", "sub"]);
}

#[tokio::test]
async fn a_file_that_was_never_whole_leaves_nothing_behind() {
    let ground = Ground::new();
    let mut draft = ground.files.create("to", "half", false).await.unwrap();
    draft.write(Bytes::from(vec![7; 1 << 20])).await.unwrap();
    assert_eq!(ground.names().len(), 3);
    drop(draft);
    assert_eq!(ground.names(), ["plain", "sub"]);
}

#[tokio::test]
async fn nothing_is_overwritten_unless_that_was_said() {
    let ground = Ground::new();
    let file = ground.root().join("plain");
    for check in
        [ground.files.can_create("to", "plain", false).await, ground.files.create("to", "plain", false).await.map(drop)]
    {
        assert_eq!(check.unwrap_err().kind(), error::Kind::Conflict);
    }
    // Taken between the look and the end.
    let mut draft = ground.files.create("to", "late", false).await.unwrap();
    draft.write(Bytes::from_static(b"ours")).await.unwrap();
    fs::write(ground.root().join("late"), "theirs").unwrap();
    assert_eq!(draft.keep().await.unwrap_err().kind(), error::Kind::Conflict);
    assert_eq!(fs::read_to_string(ground.root().join("late")).unwrap(), "theirs");
    assert_eq!(ground.names(), ["late", "plain", "sub"]);

    ground.files.can_create("to", "plain", true).await.unwrap();
    let mut draft = ground.files.create("to", "plain", true).await.unwrap();
    draft.write(Bytes::from_static(b"ours")).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "inside");
    draft.keep().await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "ours");
    for path in ["sub", "sub/", "new/", ".", "none/new"] {
        assert!(ground.files.can_create("to", path, true).await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_sent_is_no_whole_one() {
    let ground = Ground::new();
    let file = ground.root().join("long");
    fs::write(&file, vec![1; 1 << 20]).unwrap();
    let source = ground.files.open("from", "long").await.unwrap();
    fs::write(&file, "short").unwrap();
    let sent: Vec<Result<Bytes>> = source.into_stream().collect().await;
    assert_eq!(sent.last().unwrap().as_ref().unwrap_err().kind(), error::Kind::Conflict);
    // One that grows is sent as it was.
    fs::write(&file, "short").unwrap();
    let source = ground.files.open("from", "long").await.unwrap();
    fs::write(&file, "much longer than that").unwrap();
    assert_eq!(source.into_stream().try_collect::<Vec<Bytes>>().await.unwrap().concat().len(), 5);
}

#[tokio::test]
async fn without_a_root_the_setting_is_named() {
    let nowhere =
        Files::new(&FileSettings::default(), &Environment { working_directory: "/".into(), ..Environment::default() });
    for error in
        [nowhere.open("from", "x").await.unwrap_err(), nowhere.can_create("to", "/tmp/x", false).await.unwrap_err()]
    {
        assert_eq!(error.kind(), error::Kind::Denied);
        assert!(error.hint_text().unwrap().contains("[files] roots = ["), "{error:?}");
    }
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("x"), "here").unwrap();
    let here = Environment { working_directory: work.path().to_owned(), ..Environment::default() };
    assert!(Files::new(&FileSettings::default(), &here).open("from", "x").await.is_ok());
    assert!(Files::default().open("from", "x").await.is_err());
}

#[tokio::test]
async fn what_is_quaymasters_own_is_no_file_of_an_argument() {
    let ground = Ground::new();
    let (state, config) = (ground.root().join("state"), ground.root().join("config/quaymaster"));
    fs::create_dir_all(config.join("more")).unwrap();
    fs::write(config.join("hosts.toml"), "x").unwrap();
    symlink("config/quaymaster", ground.root().join("link")).unwrap();
    let variables =
        [("XDG_CONFIG_HOME", ground.root().join("config")), ("QUAYMASTER_CONFIG", ground.root().join("plain"))];
    let variables = variables.map(|(name, path)| (name.to_owned(), path.to_string_lossy().into_owned()));
    let environment = Environment { variables: variables.into(), ..Environment::default() };
    let settings = FileSettings { roots: Some(vec![ground.root()]), allow: Vec::new() };
    let files = Files::new(&settings, &environment).sparing([state.clone()]);
    for path in ["config/quaymaster/hosts.toml", "link/hosts.toml", "link/more", "plain"] {
        assert_eq!(files.kind("from", path).await.unwrap_err().kind(), error::Kind::Denied, "{path}");
    }
    // Also before it is there.
    assert_eq!(files.can_create("to", "state", false).await.unwrap_err().kind(), error::Kind::Denied);
    fs::create_dir(&state).unwrap();
    assert_eq!(files.can_create("to", "state/ticket", false).await.unwrap_err().kind(), error::Kind::Denied);
    assert!(files.open("from", "sub/file").await.is_ok());
}

#[tokio::test]
async fn in_a_container_only_what_is_mounted_is_there_for_arguments() {
    let ground = Ground::new();
    let root = fs::canonicalize(ground.root()).unwrap();
    let mounts = ground.directory.path().join("mountinfo");
    let inside = |text: String| {
        fs::write(&mounts, text).unwrap();
        let inner = Inner { mounts: Some(mounts.clone()), ..Inner::clone(&ground.files.inner) };
        Files { inner: Arc::new(inner) }
    };
    let unmounted = inside("1 0 0:57 / / rw - overlay overlay rw\n".into());
    let error = unmounted.open("from", "plain").await.unwrap_err();
    assert_eq!(error.kind(), error::Kind::Denied);
    assert!(error.hint_text().unwrap().contains("-v DIRECTORY:ROOT"), "{error:?}");
    assert!(!error.to_json().to_string().contains(&*root.to_string_lossy()));
    assert!(unmounted.can_create("to", "new", false).await.is_err());
    let mounted =
        format!("1 0 0:57 / / rw - overlay overlay rw\n2 1 8:1 /x {} rw - ext4 x rw\n", root.join("sub").display());
    let files = inside(mounted);
    assert!(files.open("from", "sub/file").await.is_ok());
    assert!(files.can_create("to", "sub/new", false).await.is_ok());
    assert!(files.open("from", "plain").await.is_err());
}

/// A tar as the system's own program reads it: each entry with its kind and mode.
async fn listed(
    directory: Directory,
    admit: impl FnMut(&str, bool) -> Admit + Send + 'static,
    extra: Vec<(String, Bytes)>,
) -> Vec<String> {
    let tar = pack(directory, admit, extra).try_collect::<Vec<Bytes>>().await.unwrap().concat();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), tar).unwrap();
    let output = Command::new("tar").args(["--list", "--file"]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    names
}

fn keep(_: &str, _: bool) -> Admit {
    Admit::Keep
}

#[tokio::test]
async fn a_directory_is_packed_without_what_leads_out_or_is_secret() {
    let ground = Ground::new();
    let root = ground.root();
    symlink("/etc/passwd", root.join("sub/link")).unwrap();
    fs::create_dir(root.join(".git")).unwrap();
    fs::write(root.join(".git/config"), "x").unwrap();
    fs::write(root.join("sub/.env"), "x").unwrap();
    nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let long = "n".repeat(200);
    fs::create_dir(root.join(&long)).unwrap();
    fs::write(root.join(&long).join(&long), "x").unwrap();
    let directory = ground.files.directory("from", ".").await.unwrap();
    let left_out = directory.left_out();
    let names = listed(directory, keep, Vec::new()).await;
    let mut expected =
        vec!["plain".to_owned(), "sub/".into(), "sub/deep/".into(), "sub/file".into(), "sub/link".into()];
    expected.extend([format!("{long}/"), format!("{long}/{long}")]);
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!((left_out.secret(), left_out.special()), (2, 1));

    let tar = pack(ground.files.directory("from", "sub").await.unwrap(), keep, Vec::new());
    let tar = tar.try_collect::<Vec<Bytes>>().await.unwrap().concat();
    let mut archive = tar::Archive::new(tar.as_slice());
    let link =
        archive.entries().unwrap().map(|entry| entry.unwrap()).find(|entry| entry.path_bytes().ends_with(b"link"));
    let link = link.unwrap();
    assert_eq!(link.header().entry_type(), tar::EntryType::Symlink);
    assert_eq!(link.link_name().unwrap().unwrap(), Path::new("/etc/passwd"));
    assert_eq!((link.header().uid().unwrap(), link.header().gid().unwrap()), (0, 0));
}

#[tokio::test]
async fn a_caller_says_what_is_packed_and_puts_files_in() {
    let ground = Ground::new();
    fs::write(ground.root().join("sub/deep/leaf"), "x").unwrap();
    let admit = |path: &str, is_directory: bool| match path {
        "sub" => {
            assert!(is_directory);
            Admit::Skip
        }
        "sub/file" => Admit::Skip,
        _ => Admit::Keep,
    };
    let extra = vec![("plain".to_owned(), Bytes::from_static(b"replaced")), ("more/x".to_owned(), Bytes::new())];
    let directory = ground.files.directory("context", ".").await.unwrap();
    assert_eq!(listed(directory, admit, extra).await, ["more/x", "plain", "sub/deep/", "sub/deep/leaf"]);
    let none = |_: &str, _: bool| Admit::SkipTree;
    let directory = ground.files.directory("context", ".").await.unwrap();
    assert!(listed(directory, none, Vec::new()).await.is_empty());

    let directory = ground.files.directory("context", ".").await.unwrap();
    assert_eq!(directory.read("sub/file", 100).await.unwrap().unwrap(), "below");
    assert_eq!(directory.read("sub/none", 100).await.unwrap(), None);
    assert_eq!(directory.read("sub/file", 4).await.unwrap_err().kind(), error::Kind::Invalid);
    assert_eq!(directory.read("../secret", 100).await.unwrap_err().kind(), error::Kind::Denied);
}

#[tokio::test]
async fn a_tar_that_nobody_reads_any_more_is_not_made() {
    let ground = Ground::new();
    fs::write(ground.root().join("large"), vec![1; 8 << 20]).unwrap();
    let directory = ground.files.directory("from", ".").await.unwrap();
    let left_out = directory.left_out();
    let mut tar = Box::pin(pack(directory, keep, Vec::new()));
    assert!(tar.next().await.unwrap().is_ok());
    drop(tar);
    // The thread holds the other count for as long as it runs.
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while Arc::strong_count(&left_out) > 1 {
        assert!(std::time::Instant::now() < until, "it is still being made");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
