//! What `ssh_config` means for a host; compared with `ssh -G` of OpenSSH 9.2, but for `Match` and a jump host that
//! would jump over itself, at which ssh gives up.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::*;

/// A home with an `ssh_config`.
struct Home {
    directory: tempfile::TempDir,
    environment: Environment,
}

impl Home {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_owned();
        fs::create_dir(home.join(".ssh")).unwrap();
        let environment = Environment {
            variables: [("SSH_AUTH_SOCK", "/run/agent"), ("KEYS", "/keys")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            home: Some(home.clone()),
            user: Some("ann".into()),
            working_directory: "/desk".into(),
            ..Environment::default()
        };
        let this = Self { directory, environment };
        this.write(".ssh/config", config);
        this
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn route(&self, endpoint: &SshEndpoint) -> Result<Route> {
        let files = Files { user: Some(self.path(".ssh/config")), system: Some(self.path("system/ssh_config")) };
        Route::resolve(endpoint, &self.environment, &files)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn hops(&self, host: &str) -> Vec<Hop> {
        self.route(&to(host)).unwrap().hops
    }

    fn hop(&self, host: &str) -> Hop {
        self.hops(host).pop().unwrap()
    }

    fn refusal(&self, host: &str) -> String {
        self.route(&to(host)).unwrap_err().detail_text().unwrap().to_owned()
    }
}

fn to(host: &str) -> SshEndpoint {
    SshEndpoint { host: host.into(), ..SshEndpoint::default() }
}

fn shown(hops: &[Hop]) -> Vec<String> {
    hops.iter().map(Hop::shown).collect()
}

#[test]
fn without_a_file_the_defaults_of_ssh_hold() {
    let home = Home::new("");
    let hop = home.hop("Prod.Example.com");
    assert_eq!(hop.shown(), "ann@prod.example.com:22");
    assert!(!hop.chosen && !hop.identities_only);
    assert_eq!(hop.identity_files, ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| home.path(".ssh").join(name)));
    assert_eq!(hop.agent.as_deref(), Some(Path::new("/run/agent")));
    assert_eq!(
        hop.known_hosts,
        [
            home.path(".ssh/known_hosts"),
            home.path(".ssh/known_hosts2"),
            "/etc/ssh/ssh_known_hosts".into(),
            "/etc/ssh/ssh_known_hosts2".into()
        ]
    );
    assert_eq!((hop.connect_timeout, hop.alive_interval, hop.alive_count), (CONNECT, ALIVE_INTERVAL, ALIVE_COUNT));
}

#[test]
fn the_first_value_wins_and_keys_add_up() {
    let home = Home::new(
        "# comment\n\
         IdentityFile ~/.ssh/always\n\
         Host prod !never\n\
         \tHostName = %h.example.com   # trailing\n\
         \tUser ops\n\
         \tUser second\n\
         \tport=2222\n\
         \tIdentityFile \"~/.ssh/with space\"\n\
         \tidentityfile ~/.ssh/%r@%n-%%\n\
         Host other\n\
         \tUser wrong\n\
         Host p*\n\
         \tUser third\n\
         \tIdentitiesOnly YES\n\
         \tIdentityFile /keys/k#1\n\
         \tHostKeyAlias prod-key\n\
         \tUserKnownHostsFile ~/.ssh/one /etc/%k\n\
         \tGlobalKnownHostsFile none\n\
         \tConnectTimeout 1m2\n\
         \tServerAliveInterval 1\n\
         \tServerAliveCountMax 1\n",
    );
    home.write("system/ssh_config", "Host *\n User system\n IdentityFile /system/key\n SendEnv LANG\n");
    let hop = home.hop("prod");
    assert_eq!(hop.shown(), "ops@prod.example.com:2222");
    assert_eq!(
        hop.identity_files,
        [
            home.path(".ssh/always"),
            home.path(".ssh/with space"),
            home.path(".ssh/ops@prod-%"),
            "/keys/k#1".into(),
            "/system/key".into()
        ]
    );
    assert!(hop.chosen && hop.identities_only);
    assert_eq!(hop.alias.as_deref(), Some("prod-key"));
    assert_eq!(hop.known_hosts, [home.path(".ssh/one"), "/etc/prod-key".into()]);
    assert_eq!(hop.connect_timeout, Duration::from_secs(62));
    assert_eq!((hop.alive_interval, hop.alive_count), (Duration::from_secs(1), 1));
    // Patterns are for the name that was given, not for the one that it stands for.
    assert_eq!(home.hop("prod.example.com").user, "third");
    assert_eq!(home.hop("elsewhere").user, "system");
}

#[test]
fn our_own_settings_win() {
    let home = Home::new(
        "Host prod\n User ops\n Port 2222\n HostName real\n IdentityFile /theirs\n IdentityAgent none\n ProxyJump bastion\n",
    );
    let endpoint = SshEndpoint {
        user: Some("root".into()),
        port: Some(22),
        identity_files: Some(vec!["~/mine".into(), "relative".into()]),
        identity_agent: Some("~/agent".into()),
        known_hosts: Some(vec!["~/hosts".into()]),
        proxy_jump: Some("none".into()),
        ..to("prod")
    };
    let hops = home.route(&endpoint).unwrap().hops;
    assert_eq!(shown(&hops), ["root@real:22"]);
    let hop = &hops[0];
    assert_eq!(hop.identity_files, [home.path("mine"), "/desk/relative".into()]);
    assert_eq!(hop.agent, Some(home.path("agent")));
    assert_eq!(hop.known_hosts, [home.path("hosts")]);
    assert_eq!(home.hop("prod").agent, None);
}

#[test]
fn agents_are_found_as_ssh_finds_them() {
    let home = Home::new(
        "Host a\n IdentityAgent ~/a.sock\nHost b\n IdentityAgent $KEYS\nHost c\n IdentityAgent SSH_AUTH_SOCK\n\
         Host d\n IdentityAgent ${KEYS}/%r.sock\nHost e\n IdentityAgent $NOTHING\n",
    );
    let agent = |host: &str| home.hop(host).agent.map(|path| path.display().to_string());
    assert_eq!(agent("a"), Some(home.path("a.sock").display().to_string()));
    assert_eq!(agent("b").as_deref(), Some("/keys"));
    assert_eq!(agent("c").as_deref(), Some("/run/agent"));
    assert_eq!(agent("d").as_deref(), Some("/keys/ann.sock"));
    assert_eq!(agent("e"), None);
}

#[test]
fn match_blocks_are_skipped_with_their_place() {
    let home = Home::new(
        "Host prod\n User ops\nMatch host prod exec \"touch /tmp/never\"\n User evil\n Port 1\n Include secrets\n\
         Host prod\n Port 2222\nInclude more\n",
    );
    home.write(".ssh/secrets", "User leaked\n");
    home.write(".ssh/more", "Match all\n HostName evil\nHost *\n HostKeyAlias alias\n");
    let route = home.route(&to("prod")).unwrap();
    assert_eq!(shown(&route.hops), ["ops@prod:2222"]);
    assert_eq!(route.hops[0].alias.as_deref(), Some("alias"));
    assert_eq!(route.warnings.len(), 2, "{:?}", route.warnings);
    assert!(route.warnings[0].contains(".ssh/config:3:"), "{:?}", route.warnings);
    assert!(route.warnings[1].contains(".ssh/more:1:"), "{:?}", route.warnings);
}

#[test]
fn includes_stay_within_their_block() {
    let home = Home::new(
        "Include config.d/*.conf nothing-here\nHost prod\n Include ~/.ssh/only-prod\n User after\nHost *\n Port 4\n",
    );
    home.write(".ssh/config.d/b.conf", "Host *\n User b\n");
    home.write(".ssh/config.d/a.conf", "Host other\n User a\n Include nested\n");
    home.write(".ssh/nested", "HostKeyAlias deep\n");
    home.write(".ssh/only-prod", "Port 5\nHost other\n HostName wrong\nHost prod\n HostName right\n");
    let prod = home.hop("prod");
    assert_eq!((prod.shown().as_str(), prod.alias), ("b@right:5", None));
    let other = home.hop("other");
    assert_eq!((other.shown().as_str(), other.alias.as_deref()), ("a@other:4", Some("deep")));

    home.write(".ssh/config", "Include config\n");
    assert!(home.refusal("prod").contains("too deeply"));
}

#[test]
fn jump_hosts_have_their_own_settings() {
    let home = Home::new(
        "Host prod\n ProxyJump first,ops@second:2200\nHost first\n User f\n ProxyJump outer\n\
         Host second\n HostName second.example\n ProxyJump ignored\nHost outer\n Port 23\n\
         Host *\n ProxyJump bastion\n",
    );
    assert_eq!(
        shown(&home.hops("prod")),
        ["ann@bastion:22", "ann@outer:23", "f@first:22", "ops@second.example:2200", "ann@prod:22"]
    );
    assert_eq!(shown(&home.hops("bastion")), ["ann@bastion:22"]);
    let given = SshEndpoint {
        proxy_jump: Some("ssh://x@[::1]:24/".into()),
        identity_files: Some(vec!["/mine".into()]),
        ..to("prod")
    };
    let hops = home.route(&given).unwrap().hops;
    assert_eq!(shown(&hops), ["ann@bastion:22", "x@::1:24", "ann@prod:22"]);
    assert!(hops.iter().all(|hop| hop.identity_files == [PathBuf::from("/mine")]));

    home.write(".ssh/config", "Host a\n ProxyJump b\nHost b\n ProxyJump a\n");
    assert!(home.refusal("a").contains("more than 8"));
    home.write(".ssh/config", "Host a\n ProxyJump %n-gate:2%p\nHost *\n User u\n");
    assert_eq!(shown(&home.hops("a")), ["u@a-gate:222", "u@a:22"]);
}

#[test]
fn a_proxy_command_is_refused_only_where_it_would_be_used() {
    let home = Home::new(
        "Host a\n ProxyCommand nc %h %p\nHost b\n ProxyJump c\n ProxyCommand nc\nHost c d\n ProxyCommand none\n ProxyJump e\n",
    );
    let refusal = home.refusal("a");
    assert!(refusal.contains("ProxyJump") && refusal.contains(".ssh/config:2"), "{refusal}");
    assert_eq!(home.hops("b").len(), 2);
    // Whichever comes first counts, also where it says "none".
    assert_eq!(home.hops("d").len(), 1);
    let direct = SshEndpoint { proxy_jump: Some("none".into()), ..to("a") };
    assert_eq!(home.route(&direct).unwrap().hops.len(), 1);
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    for (config, expected) in [
        ("Port abc\n", "config:1: port"),
        ("\nUser \"open\n", "config:2: a quote"),
        ("HostName\n", "config:1: hostname has no value"),
        ("ConnectTimeout soon\n", "config:1: \"soon\" is no time"),
        ("IdentityFile %C\n", "\"%C\""),
        ("IdentityFile ${NOTHING}/x\n", "\"NOTHING\""),
        ("HostName %p\n", "\"%p\""),
        ("ProxyJump a:b\n", "\"a:b\" is no jump host"),
        ("ProxyJump -oProxyCommand=x\n", "is no jump host"),
        ("RevokedHostKeys /etc/revoked\n", "@revoked"),
    ] {
        let home = Home::new(config);
        let refusal = home.refusal("prod");
        assert!(refusal.contains(expected), "{config:?}: {refusal}");
        // A bad line of another host does not matter.
        home.write(".ssh/config", &format!("Host elsewhere\n {config}"));
        if !config.contains("open") {
            assert_eq!(home.hops("prod").len(), 1, "{config:?}");
        }
    }
    let home = Home::new("User ops\n");
    fs::set_permissions(home.path(".ssh/config"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(home.refusal("prod").contains("chmod"));
    let error = home.route(&to("prod")).unwrap_err();
    assert!(!error.message().contains('/') && !error.hint_text().unwrap().contains('/'));
}

#[test]
fn unknown_options_and_odd_files_do_no_harm() {
    let home = Home::new(
        "\u{feff}Frobnicate yes\r\nHost prod\r\n  User ops\r\n  KexAlgorithms +x\r\n  ObscureKeystrokeTiming no\r\n\
         \n  StrictHostKeyChecking no\n  Ciphers nonsense\n  LocalForward 1 x:2\n",
    );
    assert_eq!(home.hop("prod").user, "ops");
    fs::remove_file(home.path(".ssh/config")).unwrap();
    assert_eq!(home.hop("prod").user, "ann");
}

#[test]
fn a_login_without_a_name_is_refused() {
    let mut home = Home::new("");
    home.environment.user = None;
    assert!(home.refusal("prod").contains("login name"));
}
