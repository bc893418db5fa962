//! The whole of the redaction: documents, answers, and what holds for any text.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const SECRET: &str = "hunter2hunter2";

fn masked(mut value: Value) -> Value {
    document(&mut value, &Reveal::default());
    let once = value.clone();
    document(&mut value, &Reveal::default());
    assert_eq!(value, once, "twice");
    once
}

#[test]
fn names_stay_and_values_go() {
    let shown = variable("LAB_SECRET=hunter2");
    assert!(shown.starts_with("LAB_SECRET=<redacted len=7 h="), "{shown}");
    assert_eq!(variable("LAB_SECRET=hunter2"), shown);
    assert_ne!(variable("LAB_SECRET=hunter3"), shown);
    assert_eq!(variable("ONLY_A_NAME"), "ONLY_A_NAME");
}

#[test]
fn environments_are_found_at_any_depth() {
    let shown = masked(json!({
        "Config": {"Env": ["A=b", "PATH=/bin", "URL=http://x"]},
        "Spec": [{"TaskTemplate": {"ContainerSpec": {"Env": ["C=d", "E"]}}}],
        "PreviousSpec": {"TaskTemplate": {"ContainerSpec": {"Env": ["F=g"]}}},
        "env": {"H": "i", "TZ": "UTC", "N": 5},
        "Settings": {"Env": ["J=k"], "Args": ["--level=l", "m", "-v"]},
        "PluginConfig": {"Env": [{"Name": "N", "Value": "o"}], "Args": {"Name": "args", "Value": ["p"]}},
    }));
    let text = shown.to_string();
    for secret in ["A=b", "http://x", "C=d", "F=g", "\"i\"", "J=k", "=l\"", "\"m\"", "\"o\"", "\"p\""] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    for kept in ["PATH=/bin", "\"E\"", "\"UTC\"", "\"N\":5", "\"-v\"", "\"C=<redacted", "\"--level=<redacted"] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
}

#[test]
fn what_the_operator_reveals_is_shown_but_for_its_shape() {
    let reveal = Reveal::new(&["APP_*".to_owned(), "vendor.token".to_owned()]);
    let mut value = json!({
        "Env": ["APP_MODE=fast", "APP_URL=https://me:hunter2@x", "OTHER=x"], "Labels": {"vendor.token": "public"},
    });
    document(&mut value, &reveal);
    let text = value.to_string();
    assert!(text.contains("APP_MODE=fast") && text.contains("\"public\"") && !text.contains("OTHER=x"), "{text}");
    assert!(text.contains("APP_URL=https://me:<redacted") && !text.contains("hunter2"), "{text}");
}

#[test]
fn secrets_in_known_places_go() {
    let places = [
        json!({"Path": "mysqld", "Args": ["-p#"]}),
        json!({"Path": "sh", "Args": ["-c", "mysql -u root -p# db"]}),
        json!({"Config": {"Entrypoint": ["redis-server", "--requirepass"], "Cmd": ["#"]}}),
        json!({"Config": {"Cmd": ["--password", "#"], "Entrypoint": null}}),
        json!({"Cmd": ["#"], "Entrypoint": ["redis-server", "--requirepass"]}),
        json!([{"Command": "server --token # --x"}]),
        json!({"ContainerSpec": {"Command": ["server", "--api-key"], "Args": ["#"]}}),
        json!({"ProcessConfig": {"entrypoint": "curl", "arguments": ["-u", "me:#", "http://x"]}}),
        json!({"Titles": ["PID", "CMD"], "Processes": [["1", "server --password=# x"]]}),
        json!([{"CreatedBy": "RUN |1 KEY=# /bin/sh -c make # buildkit"}]),
        json!([{"CreatedBy": "/bin/sh -c #(nop)  ENV KEY=#".replace("=#", &format!("={SECRET}"))}]),
        json!({"Comment": "made with password=#"}),
        json!({"Healthcheck": {"Test": ["CMD-SHELL", "redis-cli -a # ping"]}}),
        json!({"Healthcheck": {"Test": ["CMD", "mysqladmin", "-p#", "ping"]}}),
        json!({"Labels": {"traefik.http.middlewares.a.basicauth.users": "me:#"}}),
        json!({"Labels": {"com.example.api-token": "#"}}),
        json!({"Labels": {"com.example.url": "https://me:#@x"}}),
        json!({"Labels": {"ofelia.job-exec.dump.command": "mysqldump -p# db"}}),
        json!({"labels": ["a.secret=#", "b"]}),
        json!({"HostConfig": {"LogConfig": {"Type": "splunk", "Config": {"splunk-token": "#", "splunk-url": "#"}}}}),
        json!({"LogDriver": {"Name": "x", "Options": {"loki-url": "https://me:#@loki"}}}),
        json!({"Driver": "local", "Options": {"type": "cifs", "o": "username=me,password=#,ro"}}),
        json!({"VolumeOptions": {"DriverConfig": {"Name": "x", "Options": {"anything": "#"}}}}),
        json!({"driver_opts": {"anything": "#"}}),
        json!({"State": {"Health": {"Log": [{"Output": "token=#", "ExitCode": 1}]}}}),
        json!({"Actor": {"Attributes": {"execCommand": "mysql -p#", "x.token": "#"}}, "Action": "exec_create: sh -c mysql -p#"}),
        json!({"status": "exec_start: redis-cli -a #"}),
        json!({"BuildCache": [{"Description": "mount / from exec /bin/sh -c curl -u me:# http://x"}]}),
        json!({"HttpProxy": "http://me:#@proxy:3128", "HTTPSProxy": "me:#@proxy", "RegistryConfig": {"Mirrors": ["https://me:#@mirror/"]}}),
        json!({"command": ["server", "--password", "#"], "shell": "redis-cli -a #"}),
        json!({"ContainerConfig": {"Cmd": ["/bin/sh", "-c", "#(nop) ".to_owned(), format!("ENV A={SECRET}")]}}),
        json!({"Config": {"OnBuild": [format!("ENV B={SECRET}")]}}),
        json!({"password": "#", "identitytoken": "#"}),
    ];
    for place in places {
        let plain = place.to_string().replace("#(nop)", "\u{1}").replace("# buildkit", "\u{2}").replace('#', SECRET);
        let place: Value =
            serde_json::from_str(&plain.replace('\u{1}', "#(nop)").replace('\u{2}', "# buildkit")).unwrap();
        let text = masked(place).to_string();
        assert!(!text.contains(SECRET) && text.contains("<redacted len="), "{text}");
    }
}

#[test]
fn what_is_harmless_stays() {
    let place = json!({
        "Id": "4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1", "Name": "/vault-token",
        "Names": ["/secret"], "Image": "registry/api-token:1.2", "Path": "/bin/sh", "Args": ["-c", "exec nginx -p 80"],
        "Config": {"Cmd": ["nginx", "-g", "daemon off;"], "Labels": {
            "com.docker.compose.project": "shop", "org.opencontainers.image.authors": "me", "x.auth.enabled": "true", "n": 5,
        }},
        "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            "Binds": ["/srv/secret:/run/secret:ro"]},
        "Mounts": [{"Type": "bind", "Source": "/srv/password=x", "Destination": "/x"}],
        "Options": {"type": "nfs", "o": "addr=10.0.0.1,ro", "device": ":/export"}, "Status": "Up 2 hours", "Created": 5,
        "Health": {"Status": "healthy", "Log": null}, "Env": null, "Labels": null, "Test": null, "Settings": [],
    });
    assert_eq!(masked(place.clone()), place);
}

#[test]
fn a_containers_values_are_hidden_in_its_health_and_commands() {
    let shown = masked(json!({
        "Id": "x", "Name": "/web", "Image": "y", "Created": "z", "Path": "sh", "Args": ["-c", "ping hunter2hunter2"],
        "Config": {"Env": ["A=hunter2hunter2"], "Hostname": "hunter2hunter2", "Labels": {"a": "is hunter2hunter2"}},
        "State": {"Error": "no hunter2hunter2", "Health": {"Log": [{"Output": "said hunter2hunter2"}]}},
    }));
    let hostname = shown.pointer("/Config/Hostname").unwrap();
    assert_eq!(hostname, SECRET, "a name is a handle");
    assert_eq!(shown.to_string().matches(SECRET).count(), 1, "{shown}");
}

#[test]
fn answers_are_stripped_and_masked_at_any_depth() {
    let mut value = json!({"a\u{202e}": ["x\u{1b}[31my", {"b": "tab\tand\nline", "c": "token=hunter2"}], "n": 7});
    texts(&mut value);
    assert_eq!(value, json!({"a": ["xy", {"b": "tab\tand\nline", "c": format!("token={}", mask("hunter2"))}], "n": 7}));
}

#[test]
fn escape_sequences_do_not_save_a_secret() {
    let token = format!("gh{}{}", "p_", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cR0xLfUaa");
    let (front, back) = token.split_at(9);
    for split in ["\u{1b}[0m", "\u{200b}", "\u{1b}]0;x\u{7}", "\u{9b}1m", "\u{ad}", "\r", "\u{e0020}"] {
        let shown = shown(&format!("it is {front}{split}{back} now"));
        assert!(!shown.contains(back) && shown.starts_with("it is <redacted") && shown.ends_with(" now"), "{shown}");
    }
}

/// Pieces that mean something next to each other.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "password",
        "token",
        "key",
        "api",
        "secret",
        "_",
        "-",
        ".",
        "=",
        ": ",
        ":",
        " ",
        ",",
        ";",
        "&",
        "\"",
        "'",
        "\\",
        "\n",
        "\\n",
        "/",
        "://",
        "@",
        "a",
        "B",
        "7",
        "xyz123",
        "${",
        "}",
        "$",
        "<",
        ">",
        "[",
        "]",
        "(",
        "%3D",
        "%20",
        "eyJ",
        "sk-",
        "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cR0xLfUaa",
        "AIzaaBcdEfgHijKlmNopQrstUvwXyzaBcdEfgHij",
        "eyJhbGciOiJIUzI1NiJ9.eyJhbGciOiJI",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "MIIEpAIBAAKCAQEA",
        "Authorization",
        "Bearer ",
        "Cookie: ",
        "<redacted len=7 h=0123abcd>",
        "<redacted len=",
        "true",
        "null",
        "--",
        "--password ",
        "mysql ",
        "-p",
        "curl -u ",
        "user:pw123",
        "$2y$10$aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cR0xLfUaaaB3dE6gH9jK2mN5pQ",
        "ü",
        "\u{1b}[0m",
        "SKaa",
        "AKIAABCDEFGHIJKLMNOP",
        "http",
        "x-",
        "IDENTIFIED BY ",
        "ENV ",
        "RUN |1 ",
        "/bin/sh -c ",
        "sig=",
        "123456789:AA",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        pieces().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        let name = prop_oneof![
            prop::sample::select(vec![
                "Env",
                "env",
                "Cmd",
                "Args",
                "Path",
                "Entrypoint",
                "Labels",
                "Config",
                "State",
                "LogConfig",
                "Options",
                "Health",
                "Log",
                "Output",
                "Settings",
                "Value",
                "Name",
                "Test",
                "Processes",
                "CreatedBy",
                "Attributes",
                "Action",
                "a.token",
                "o",
                "command",
                "arguments",
                "Description",
                "HttpProxy",
                "password",
            ])
            .prop_map(str::to_owned),
            any::<String>(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..8).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn twice_is_once(text in pieces()) {
        let once = shown(&text);
        prop_assert_eq!(shown(&once), once.clone());
        let values = Masks::default().with(["xyz123xyz123", "password", "redacted"]);
        let mut lines = Lines::new(std::sync::Arc::new(values.clone()));
        for line in text.lines() {
            let once = lines.next(line);
            prop_assert_eq!(values.hide(&once).into_owned(), once.clone());
            prop_assert!(lines.count() <= text.len());
        }
    }

    #[test]
    fn marks_stay(text in pieces()) {
        let before: Vec<&str> = marks::all(&text).filter_map(|(start, end)| text.get(start..end)).collect();
        let (after, _) = shapes::hide(&text);
        let mut kept = marks::all(&after).filter_map(|(start, end)| after.get(start..end));
        for mark in before {
            prop_assert!(kept.any(|other| other == mark), "{} in {}", mark, after);
        }
    }

    #[test]
    fn any_text_is_taken(text in any::<String>()) {
        let once = shown(&text);
        prop_assert_eq!(shown(&once), once);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_document_is_taken(mut value in any_json()) {
        let _ = Masks::of(&value, &Reveal::default());
        document(&mut value, &Reveal::default());
        let once = value.clone();
        document(&mut value, &Reveal::default());
        prop_assert_eq!(&value, &once);
        let mut each = value.clone();
        each_text(&mut each);
        texts(&mut value);
        prop_assert_eq!(&value, &each, "together they are what each is by itself");
        let left = value.clone();
        texts(&mut value);
        prop_assert_eq!(value, left);
    }
}
