//! The grammar row by row, and what holds for every text.

use proptest::prelude::*;

use super::*;

/// The refusal as the person reads it: one line, then the mend.
fn refused(text: &str) -> String {
    let error = parse_list(text).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Config);
    format!("{}; {}", error.message(), error.hint_text().unwrap())
}

/// The list as it is printed, with every default filled in.
fn printed(text: &str) -> String {
    parse_list(text).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[test]
fn what_is_accepted() {
    for (text, expected) in ACCEPTED {
        assert_eq!(printed(text), *expected, "{text}");
        assert_eq!(parse_list(expected).unwrap(), parse_list(text).unwrap(), "{text}");
    }
}

#[test]
fn what_is_refused() {
    for (text, expected) in REFUSED {
        assert_eq!(refused(text), *expected, "{text}");
    }
}

#[test]
fn a_password_is_never_repeated() {
    for password in ["hunter2", "hunt:er2", "hunt/er2", "hunt?er2", "hunt#er2", "hunt,er2", "hunt(er2", "hunt@er2"] {
        for scheme in ["ssh://", "tcp://", "http://"] {
            let refused = refused(&format!("a={scheme}ops:{password}@prod"));
            assert!(!refused.contains("hunt") && !refused.contains("er2"), "{refused}");
        }
    }
}

/// Valid names.
fn name() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9_.-]{0,62}".prop_filter("reserved", |name| check_name(name).is_ok())
}

/// Host names, addresses, and what is this machine.
fn host() -> impl Strategy<Value = String> {
    let address = any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string());
    prop_oneof!["[A-Za-z0-9._äß][A-Za-z0-9._-]{0,20}", "127\\.0\\.0\\.[0-9]", Just("localhost".to_owned()), address]
}

/// Ports that plain TCP may have too.
fn port() -> impl Strategy<Value = u16> {
    (1..=u16::MAX).prop_filter("the port of TLS", |port| *port != 2376)
}

/// Every endpoint that can be written.
fn endpoint() -> impl Strategy<Value = EndpointSpec> {
    let path = || "/[^\\p{Cc}?#]{0,30}[^\\p{Cc}?#/]";
    let security = (0..3_u8, "[^\\p{Cc}]{1,30}").prop_map(|(kind, directory)| match kind {
        0 => Security::Plain,
        1 => Security::Insecure,
        _ => Security::Tls(directory.into()),
    });
    let tcp = (host(), port(), security).prop_map(|(host, port, security)| {
        let security = match security {
            Security::Plain if !crate::config::is_loopback(&host) => Security::Insecure,
            security => security,
        };
        EndpointSpec::Tcp { host, port: Some(port), security }
    });
    let socket = proptest::option::of("/[^\\p{Cc}]{1,30}");
    let ssh = (proptest::option::of("[^\\p{Cc}]{1,10}"), host(), proptest::option::of(1..=u16::MAX), socket)
        .prop_map(|(user, host, port, socket)| EndpointSpec::Ssh { user, host, port, socket });
    prop_oneof![
        Just(EndpointSpec::Auto),
        Just(EndpointSpec::Local),
        path().prop_map(|path| EndpointSpec::Unix { path }),
        tcp,
        ssh,
    ]
}

/// Every host that can be written.
fn spec() -> impl Strategy<Value = HostSpec> {
    let mode = prop_oneof![Just(Mode::Rw), Just(Mode::Nd), Just(Mode::Ro)];
    (name(), endpoint(), mode).prop_map(|(name, endpoint, mode)| HostSpec { name, endpoint, mode })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_printed_list_is_read_as_it_was(mut specs in proptest::collection::vec(spec(), 1..5)) {
        specs.sort_by(|one, other| one.name.cmp(&other.name));
        specs.dedup_by(|one, other| one.name == other.name);
        let text = specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ,\n");
        prop_assert_eq!(parse_list(&text).unwrap(), specs, "{}", text);
    }

    #[test]
    fn no_text_panics_and_every_refusal_is_one_line(text in prop_oneof![
        any::<String>(),
        "[a-c=:/@,()\"\\\\\\[\\]%?#. \n\u{0}é]{0,40}",
        "(a=)?(auto|local|(unix|tcp|ssh|npipe)://[a-c:/@%\\[\\].0-9]{0,12})(\\((ro|nd|insecure|tls=[a-c\"/]{0,4}|,| ){0,4}\\)?){0,2}",
    ]) {
        match parse_list(&text) {
            Ok(specs) => {
                let printed = specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                prop_assert_eq!(parse_list(&printed).unwrap(), specs);
            }
            Err(error) => {
                let hint = error.hint_text().unwrap();
                prop_assert!(error.message().starts_with("column "));
                prop_assert!(!error.message().contains(char::is_control) && !hint.contains(char::is_control));
                prop_assert!(error.message().chars().count() < 500);
            }
        }
    }
}

const ACCEPTED: &[(&str, &str)] = &[
    // The example of the documentation, and the ones of the servers that had this grammar before.
    (
        "local=auto, staging=tcp://staging:2376(tls=/etc/docker/staging), prod=ssh://ops@prod.example.com(ro)",
        "local=auto, staging=tcp://staging:2376(tls=/etc/docker/staging), prod=ssh://ops@prod.example.com(ro)",
    ),
    ("local=auto, prod=ssh://ops@prod.example.com(ro)", "local=auto, prod=ssh://ops@prod.example.com(ro)"),
    ("prod=tcp://prod:2376(tls=/etc/docker/prod)", "prod=tcp://prod:2376(tls=/etc/docker/prod)"),
    ("a=AUTO (RO) , b = local ( Nd )", "a=auto(ro), b=local(nd)"),
    // White space.
    (" \n a=auto\t,\r\n\u{a0}b=local ", "a=auto, b=local"),
    // Names.
    ("0=auto", "0=auto"),
    ("a_.-=auto", "a_.-=auto"),
    (
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk=auto",
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk=auto",
    ),
    // Sockets.
    ("a=unix:///run/docker.sock", "a=unix:///run/docker.sock"),
    ("a=UNIX:///run/my docker.sock(nd)", "a=unix:///run/my docker.sock(nd)"),
    ("a=\"unix:///a,b(c)\\\"\\\\ \"(ro)", "a=\"unix:///a,b(c)\\\"\\\\ \"(ro)"),
    ("a=unix:///a%20b\\c", "a=unix:///a%20b\\c"),
    // TCP.
    ("a=tcp://localhost", "a=tcp://localhost:2375"),
    ("a=tcp://127.0.0.2:80/", "a=tcp://127.0.0.2:80"),
    ("a=tcp://[::1]", "a=tcp://[::1]:2375"),
    ("a=tcp://[0:0:0:0:0:0:0:1]:2375(insecure)", "a=tcp://[::1]:2375(insecure)"),
    ("a=tcp://staging(insecure)", "a=tcp://staging:2375(insecure)"),
    ("a=tcp://staging(tls=~/certificates)", "a=tcp://staging:2376(tls=~/certificates)"),
    ("a=tcp://[fd00::1](tls=\"/a, b\")(nd)", "a=tcp://[fd00::1]:2376(tls=\"/a, b\",nd)"),
    ("a=tcp://x:2375(ro,tls = C:\\x=y )", "a=tcp://x:2375(tls=C:\\x=y,ro)"),
    // SSH.
    ("a=ssh://My_Alias", "a=ssh://My_Alias"),
    ("a=ssh://ops@prod:2222/run/user/1000/docker.sock", "a=ssh://ops@prod:2222/run/user/1000/docker.sock"),
    ("a=ssh://prod/", "a=ssh://prod"),
    ("a=ssh://[fd00::1]:22", "a=ssh://[fd00::1]:22"),
    ("a=ssh://ops%40corp@prod/a%3fb", "a=ssh://ops%40corp@prod/a%3Fb"),
    ("a=ssh://CORP\\ops@prod", "a=ssh://CORP%5Cops@prod"),
    // Markers.
    ("a=tcp://x(nd)(insecure)", "a=tcp://x:2375(insecure,nd)"),
    // Short forms.
    ("auto", "local=auto"),
    ("local(ro)", "local=local(ro)"),
    ("unix:///a=b", "local=unix:///a=b"),
    ("\"unix:///a,b\"", "local=\"unix:///a,b\""),
    ("tcp://Staging(tls=/a)", "staging=tcp://Staging:2376(tls=/a)"),
    ("tcp://127.0.0.1", "127.0.0.1=tcp://127.0.0.1:2375"),
    ("ssh://ops@Prod.Example.com:22(ro), auto", "prod.example.com=ssh://ops@Prod.Example.com:22(ro), local=auto"),
];

/// Every rule of the grammar that refuses, with the line that the person reads.
const REFUSED: &[(&str, &str)] = &[
    // Names.
    ("=auto", "column 1: the name is empty; write name=endpoint"),
    (
        "Prod=auto",
        "column 1: \"Prod\" is no host name; use up to 63 of a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit",
    ),
    (
        "-a=auto",
        "column 1: \"-a\" is no host name; use up to 63 of a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit",
    ),
    (
        "a b=auto",
        "column 1: \"a b\" is no host name; use up to 63 of a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit",
    ),
    (
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl=auto",
        "column 1: \"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh…\" is no host name; use up to 63 of a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit",
    ),
    ("all=auto", "column 1: the name \"all\" is reserved; take another name"),
    ("default=auto", "column 1: the name \"default\" is reserved; take another name"),
    ("containers=auto", "column 1: the name \"containers\" is reserved; take another name"),
    ("a=auto, b=local, a=local", "column 18: the name \"a\" is given twice; give each host a name of its own"),
    ("auto, local", "column 7: the name \"local\" is given twice; give each host a name of its own"),
    // Elements.
    ("", "column 1: an empty element; remove the comma, or write name=endpoint"),
    ("a=auto,", "column 8: an empty element; remove the comma, or write name=endpoint"),
    ("a=auto,,b=local", "column 8: an empty element; remove the comma, or write name=endpoint"),
    (
        "a=",
        "column 3: the endpoint is empty; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
    (
        "a=(ro)",
        "column 3: the endpoint is empty; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
    (
        "a=\"\"",
        "column 3: the endpoint is empty; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
    // Endpoints.
    ("a=autp", "column 3: \"autp\" is no endpoint; did you mean \"auto\"?"),
    (
        "a=prod.example.com",
        "column 3: \"prod.example.com\" is no endpoint; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
    ("a=http://x", "column 3: unknown scheme \"http\"; did you mean \"tcp\"?"),
    ("a=shh://x", "column 3: unknown scheme \"shh\"; did you mean \"ssh\"?"),
    (
        "a=npipe:////./pipe/docker_engine",
        "column 3: \"npipe:////./pipe/docker_engine\" needs a Windows build; use tcp:// or ssh://",
    ),
    (
        "a=unix://run/docker.sock",
        "column 3: \"run/docker.sock\" is no absolute path of a socket; write unix:///PATH with three slashes, as in unix:///var/run/docker.sock",
    ),
    (
        "a=unix://",
        "column 3: \"\" is no absolute path of a socket; write unix:///PATH with three slashes, as in unix:///var/run/docker.sock",
    ),
    (
        "a=unix:///run/",
        "column 3: \"/run/\" is no absolute path of a socket; write unix:///PATH with three slashes, as in unix:///var/run/docker.sock",
    ),
    ("a=unix:///run\u{1b}[0m", "column 3: a control character in \"unix:///run\\u{1b}[0m\"; remove it"),
    ("a=\"unix:///a\nb\"", "column 3: a control character in \"unix:///a\\nb\"; remove it"),
    ("a=unix:///a?b", "column 3: a query or fragment in \"unix:///a?b\"; remove what begins with \"?\" or \"#\""),
    (
        "a=tcp://",
        "column 3: the endpoint has no host; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
    (
        "a=tcp://:2375",
        "column 3: the endpoint has no host; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
    ("a=tcp://ops@localhost", "column 3: a user \"ops\" for tcp://; remove it: only ssh:// has users"),
    ("a=tcp://localhost/v1.41", "column 3: a path in \"tcp://localhost/v1.41\"; remove what follows the port"),
    ("a=tcp://localhost:0", "column 3: \"0\" is no port; a port is a number from 1 to 65535"),
    ("a=tcp://localhost:65536", "column 3: \"65536\" is no port; a port is a number from 1 to 65535"),
    ("a=tcp://localhost:+1", "column 3: the port is no number; a port is a number from 1 to 65535"),
    ("a=tcp://localhost:", "column 3: the port is no number; a port is a number from 1 to 65535"),
    (
        "a=tcp://::1:2375",
        "column 3: \"::1:2375\" is no address; write an IPv6 address in brackets, as in [fd00::1]:2376",
    ),
    ("a=tcp://[::1", "column 3: \"[::1\" is no address; write an IPv6 address in brackets, as in [fd00::1]:2376"),
    (
        "a=tcp://[::1]2375",
        "column 3: \"[::1]2375\" is no address; write an IPv6 address in brackets, as in [fd00::1]:2376",
    ),
    (
        "a=tcp://[127.0.0.1]:2375",
        "column 3: \"[127.0.0.1]:2375\" is no address; write an IPv6 address in brackets, as in [fd00::1]:2376",
    ),
    ("a=tcp://lo cal", "column 3: \"lo cal\" is no host; a host has letters, digits, \".\", \"_\" and \"-\""),
    (
        "a=ssh://-oProxyCommand=x",
        "column 3: \"-oProxyCommand=x\" is no host; a host has letters, digits, \".\", \"_\" and \"-\"",
    ),
    ("a=ssh://ops:secret@prod", "column 3: a password in \"ops:***@\"; remove it: keys and the ssh agent log in"),
    ("a=ssh://ops:@prod", "column 3: a password in \"ops:***@\"; remove it: keys and the ssh agent log in"),
    ("a=ssh://@prod", "column 3: the user is empty; remove the \"@\""),
    (
        "a=ssh://ops@",
        "column 3: the endpoint has no host; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
    ("a=ssh://prod?x=1", "column 3: a query or fragment in \"ssh://prod?x=1\"; remove what begins with \"?\" or \"#\""),
    ("a=ssh://prod#x", "column 3: a query or fragment in \"ssh://prod#x\"; remove what begins with \"?\" or \"#\""),
    (
        "a=ssh://ops:s?cret@prod",
        "column 3: a query or fragment in \"ssh://ops:***@prod\"; remove what begins with \"?\" or \"#\"",
    ),
    ("a=ssh://ops:s/cret@prod", "column 3: the port is no number; a port is a number from 1 to 65535"),
    ("a=ssh://ops%00@prod", "column 3: a control character in \"ops\\0\"; remove it"),
    ("a=ssh://prod/run/%ff", "column 3: \"run/%ff\" is not UTF-8 once decoded; write it without % escapes"),
    // TLS and plain TCP.
    (
        "a=tcp://staging:2375",
        "column 3: plain TCP to \"staging\", which is not this machine; add (tls=DIR) with the directory of ca.pem, use ssh://, or accept the risk with (insecure)",
    ),
    (
        "a=auto, b=tcp://10.0.0.7(ro)",
        "column 11: plain TCP to \"10.0.0.7\", which is not this machine; add (tls=DIR) with the directory of ca.pem, use ssh://, or accept the risk with (insecure)",
    ),
    (
        "a=tcp://[fd00::1]:2375",
        "column 3: plain TCP to \"fd00::1\", which is not this machine; add (tls=DIR) with the directory of ca.pem, use ssh://, or accept the risk with (insecure)",
    ),
    (
        "a=tcp://staging:2376",
        "column 3: port 2376 of \"staging\" without \"tls\"; add (tls=DIR) with the directory of ca.pem, or give the port of plain TCP",
    ),
    (
        "a=tcp://staging:2376(insecure)",
        "column 3: port 2376 of \"staging\" without \"tls\"; add (tls=DIR) with the directory of ca.pem, or give the port of plain TCP",
    ),
    (
        "a=tcp://localhost:2376",
        "column 3: port 2376 of \"localhost\" without \"tls\"; add (tls=DIR) with the directory of ca.pem, or give the port of plain TCP",
    ),
    // Markers.
    ("a=auto(rw)", "column 8: unknown marker \"rw\"; the markers are ro, nd, tls=DIR, insecure"),
    ("a=auto()", "column 8: unknown marker \"\"; the markers are ro, nd, tls=DIR, insecure"),
    ("a=auto(ro,)", "column 11: unknown marker \"\"; the markers are ro, nd, tls=DIR, insecure"),
    ("a=auto(ro=1)", "column 8: unknown marker \"ro=1\"; the markers are ro, nd, tls=DIR, insecure"),
    ("a=auto(ro", "column 10: the parenthesis is not closed; add \")\""),
    ("a=auto(ro,nd", "column 11: markers \"ro\" and \"nd\" exclude each other; keep the one that you mean"),
    ("a=auto(ro,ro)", "column 11: marker \"ro\" is given twice; remove one of them"),
    ("a=auto(nd)(nd)", "column 12: marker \"nd\" is given twice; remove one of them"),
    ("a=auto(ro)(nd)", "column 12: markers \"ro\" and \"nd\" exclude each other; keep the one that you mean"),
    ("a=tcp://x(tls=/a)(tls=/b)", "column 19: marker \"tls\" is given twice; remove one of them"),
    ("a=tcp://x(insecure,insecure)", "column 20: marker \"insecure\" is given twice; remove one of them"),
    ("a=tcp://x(tls=/a,insecure)", "column 3: \"tls\" and \"insecure\" exclude each other; keep the one that you mean"),
    ("a=tcp://x(tls)", "column 11: marker \"tls\" without a directory; write tls=DIR, the directory of ca.pem"),
    ("a=tcp://x(tls=)", "column 11: marker \"tls\" without a directory; write tls=DIR, the directory of ca.pem"),
    ("a=tcp://x(tls=\"\")", "column 11: marker \"tls\" without a directory; write tls=DIR, the directory of ca.pem"),
    ("a=tcp://x(tls=\"/a\u{7}\")", "column 11: a control character in \"/a\\u{7}\"; remove it"),
    ("a=ssh://x(ro,tls=/a)", "column 14: \"tls\" on \"ssh://x\"; remove it: only tcp:// takes \"tls\""),
    ("a=unix:///x(insecure)", "column 13: \"insecure\" on \"unix:///x\"; remove it: only tcp:// takes \"insecure\""),
    ("a=auto(tls=/a)", "column 8: \"tls\" on \"auto\"; remove it: only tcp:// takes \"tls\""),
    (
        "a=auto(ro)x",
        "column 11: \"x\" after the endpoint and its markers; remove it, or separate the hosts with a comma",
    ),
    (
        "a=auto(ro) b=local",
        "column 12: \"b=local\" after the endpoint and its markers; remove it, or separate the hosts with a comma",
    ),
    // Quotes.
    ("a=\"auto", "column 3: the quotation mark is not closed; add \""),
    (
        "a=\"auto\"x",
        "column 9: \"x\" after the endpoint and its markers; remove it, or separate the hosts with a comma",
    ),
    ("a=\"unix:///a\\n\"", "column 13: unknown escape \"\\\\n\"; only \\\" and \\\\ are escapes"),
    (
        "a=unix:///\"a,b\"",
        "column 3: a quotation mark inside \"unix:///\\\"a\"; quote the whole value, and write \\\" inside",
    ),
    (
        "a=tcp://x(tls=/a\"b)",
        "column 15: a quotation mark inside \"/a\\\"b\"; quote the whole value, and write \\\" inside",
    ),
    // Short forms.
    ("tcp://[::1]:2375", "column 1: \"::1\" is no host name; give it a name: NAME=tcp://[::1]:2375"),
    ("ssh://ops@all", "column 1: the name \"all\" is reserved; give it a name: NAME=ssh://ops@all"),
    ("local, unix:///run/docker.sock", "column 8: the name \"local\" is given twice; give each host a name of its own"),
    ("ssh://Prod, ssh://prod", "column 13: the name \"prod\" is given twice; give each host a name of its own"),
    // Long and odd text.
    (
        "a=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "column 3: \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\" is no endpoint; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
    (
        "ä=auto",
        "column 1: \"ä\" is no host name; use up to 63 of a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or digit",
    ),
    (
        "a=auto, b=\"unix:///ä\"(ro), c=é\u{202e}",
        "column 30: \"é\\u{202e}\" is no endpoint; use auto, local, unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT][/SOCKET]",
    ),
];
