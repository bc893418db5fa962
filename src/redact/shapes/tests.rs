//! Planted secrets, what looks like one and is none, and texts made to be slow.

use super::*;

/// A letter or digit for every position, the same in every run.
fn filler(length: usize, alphabet: &str) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    (0..length).map(|place| letters[(place * 7 + place / 5 + 3) % letters.len()]).collect()
}

fn alnum(length: usize) -> String {
    filler(length, "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cR0xLfU")
}

fn hex(length: usize) -> String {
    filler(length, "0a1b2c3d4e5f6789")
}

fn upper(length: usize) -> String {
    filler(length, "A2B3C4D5E6F7GHIJKL")
}

/// The beginning and the rest are joined here, so that no scanner of sources takes this for a leak.
fn planted() -> Vec<(String, String)> {
    let mut all = Vec::new();
    tokens(&mut all);
    named(&mut all);
    places(&mut all);
    all
}

/// Tokens that may stand anywhere.
fn tokens(all: &mut Vec<(String, String)>) {
    for (prefix, rest) in [
        ("AK", format!("IA{}", upper(16))),
        ("AS", format!("IA{}", upper(16))),
        ("AI", format!("za{}", alnum(35))),
        ("GOC", format!("SPX-{}", alnum(28))),
        ("ya", format!("29.a0{}", alnum(60))),
        ("gh", format!("p_{}", alnum(36))),
        ("gh", format!("o_{}", alnum(36))),
        ("gh", format!("u_{}", alnum(36))),
        ("gh", format!("s_{}", alnum(36))),
        ("gh", format!("r_{}", alnum(36))),
        ("github_", format!("pat_{}_{}", alnum(22), alnum(59))),
        ("gl", format!("pat-{}", alnum(20))),
        ("gl", format!("rt-{}", alnum(20))),
        ("gl", format!("ptt-{}", hex(40))),
        ("xo", format!("xb-{}-{}", "123456789012", alnum(24))),
        ("xo", format!("xp-{}-{}", "123456789012", alnum(32))),
        ("xa", format!("pp-1-A0-{}-{}", "123456789012", hex(64))),
        ("sk_", format!("live_{}", alnum(24))),
        ("rk_", format!("live_{}", alnum(24))),
        ("wh", format!("sec_{}", alnum(32))),
        ("sq0", format!("csp-{}", alnum(43))),
        ("EA", format!("AA{}", alnum(60))),
        ("access_", format!("token$production${}${}", hex(16), hex(32))),
        ("SG", format!(".{}.{}", alnum(22), alnum(43))),
        ("S", format!("K{}", hex(32))),
        ("npm", format!("_{}", alnum(36))),
        ("py", format!("pi-AgE{}", alnum(60))),
        ("dckr", format!("_pat_{}", alnum(27))),
        ("SWM", format!("TKN-1-{}-{}", alnum(50), alnum(25))),
        ("SWM", format!("KEY-1-{}", alnum(43))),
        ("hv", format!("s.{}", alnum(90))),
        ("hv", format!("b.{}", alnum(120))),
        ("dop", format!("_v1_{}", hex(64))),
        ("sk", format!("-{}", alnum(48))),
        ("sk", format!("-ant-api03-{}", alnum(90))),
        ("sk", format!("-proj-{}", alnum(60))),
        ("hf", format!("_{}", alnum(34))),
        ("AGE-SECRET", format!("-KEY-1{}", upper(58))),
        ("ey", format!("JhbGciOiJIUzI1NiJ9.eyJ{}.{}", alnum(40), alnum(43))),
        ("ey", format!("JhbGciOiJSU0EifQ.{}.{}.{}.{}", alnum(40), alnum(16), alnum(60), alnum(22))),
        ("MTA", format!("4{}.G{}.{}", alnum(20), alnum(5), alnum(38))),
        ("shp", format!("at_{}", hex(32))),
        ("dapi", hex(32)),
        ("ATAT", format!("T3{}", alnum(180))),
        ("$2", format!("y$10${}", alnum(53))),
        ("$ap", format!("r1$saltsalt${}", alnum(22))),
        ("abc8", format!("Q~{}", alnum(34))),
        ("key", format!("-{}", hex(32))),
        (&hex(32), "-us12".to_owned()),
    ] {
        let secret = format!("{prefix}{rest}");
        all.push((format!("connected with {secret} to it"), secret.clone()));
        all.push((format!("{{\"x\":\"{secret}\"}}"), secret));
    }
}

/// Secrets that the words around them give away.
fn named(all: &mut Vec<(String, String)>) {
    let value = "tr0ub4dor-horse";
    for text in [
        "password=#",
        "password = #",
        "PGPASSWORD=# psql",
        "DB_PASS: #",
        "pass=#",
        "pwd=#;Database=x",
        "\"password\": \"#\", \"user\": \"x\"",
        "\"password\":\"#\"",
        "'password': '#'",
        "{\\\"password\\\":\\\"#\\\",\\\"x\\\":1}",
        "\"clientSecret\":\"#\"",
        "token: #",
        "api_key=# and more",
        "apiKey: \"#\"",
        "API key: #",
        "aws_secret_access_key = #",
        "AccountName=x;AccountKey=#;EndpointSuffix=core.windows.net",
        "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=#",
        "Server=db;User Id=me;Password=#;Encrypt=true",
        "GET /x?user=a&token=#&b=c",
        "https://me:#@host/path",
        "postgres://me:#@db:5432/x?sslmode=disable",
        "redis://:#@cache:6379/0",
        "amqp://me:pa/#@mq/vhost",
        "Authorization: Bearer #1",
        "authorization: Basic #1=",
        "\"Authorization\": \"Bearer #1\"",
        "-H 'Authorization: token #1'",
        "Proxy-Authorization: Basic #1",
        "Authorization: Digest username=\"me\", response=\"#\"",
        "sent bearer #1 to it",
        "X-Api-Key: #",
        "x-vault-token:#",
        "PRIVATE-TOKEN: #",
        "Cookie: session=#; theme=dark",
        "Set-Cookie: sid=#; Path=/; HttpOnly",
        "--password # --user me2",
        "<password>#</password>",
        "CREATE USER me IDENTIFIED BY '#'",
        "ALTER USER me WITH PASSWORD '#'",
        "//registry.npmjs.org/:_authToken=#",
        "password: # for me",
        "\\npassword=#",
        "password%3D#%26x",
        "\"db_password\" => \"#\"",
        "export SECRET_KEY=\"#\"",
        "-Dspring.datasource.password=#",
    ] {
        all.push((text.replace('#', value), value.to_owned()));
    }
}

/// Secrets that have a place of their own in what surrounds them.
fn places(all: &mut Vec<(String, String)>) {
    for (text, secret) in [
        (format!("123456789:AA{}", alnum(33)), format!("AA{}", alnum(33))),
        (format!("https://hooks.slack.com/services/T0000/B0000/{}", alnum(24)), alnum(24)),
        (format!("https://discord.com/api/webhooks/123456789012345678/{}", alnum(68)), alnum(68)),
        (format!("https://x.blob.core.windows.net/y?sv=2024&sig={}%3D", alnum(43)), alnum(43)),
        (format!("https://{}:@api.example.com/", alnum(20)), alnum(20)),
        (format!("\"private_key\": \"-----BEGIN PRIVATE KEY-----\\n{}\\n-----END\"", alnum(64)), alnum(64)),
        (
            format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n{}\n-----END RSA PRIVATE KEY-----", alnum(64), hex(40)),
            alnum(64),
        ),
        (format!("-----BEGIN RSA PRIVATE KEY-----\n{}\nnot closed", alnum(64)), alnum(64)),
        (format!("-----BEGIN RSA PRIVATE KEY-----\\n{}\\n-----END RSA PRIVATE KEY-----", alnum(64)), alnum(64)),
    ] {
        all.push((text, secret));
    }
}

#[test]
fn planted_secrets_are_found() {
    let planted = planted();
    assert!(planted.len() >= 100, "{}", planted.len());
    let mut missed = Vec::new();
    for (text, secret) in &planted {
        let (shown, count) = hide(text);
        if shown.contains(secret.as_str()) || count == 0 || !shown.contains(marks::OPENING) {
            missed.push(format!("{text} => {shown}"));
        }
        assert_eq!(hide(&shown), (Cow::Borrowed(&*shown), 0), "twice: {text}");
    }
    assert!(missed.is_empty(), "{} of {}: {missed:#?}", missed.len(), planted.len());
}

#[test]
fn what_surrounds_a_secret_stays() {
    for (text, front, back) in [
        ("postgres://me:tr0ub4dor@db:5432/x", "postgres://me:<redacted", ">@db:5432/x"),
        ("{\"password\":\"tr0ub4dor\",\"user\":\"me\"}", "{\"password\":\"<redacted", ">\",\"user\":\"me\"}"),
        ("a=1&token=tr0ub4dor&b=2", "a=1&token=<redacted", ">&b=2"),
        ("(password=tr0ub4dor)", "(password=<redacted", ">)"),
        ("Authorization: Bearer tr0ub4dor", "Authorization: Bearer <redacted", ">"),
        ("Set-Cookie: sid=tr0ub4dor; Path=/", "Set-Cookie: sid=<redacted", ">; Path=/"),
    ] {
        let (shown, _) = hide(text);
        assert!(shown.starts_with(front) && shown.ends_with(back), "{shown}");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "",
        "ltbproject/self-service-password:1.5",
        "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
        "4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
        "web@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "550e8400-e29b-41d4-a716-446655440000",
        "2026-11-20T19:14:03.123456789Z INFO started in 12.3 ms, region Asia/Tokyo",
        "password authentication failed for user \"postgres\"",
        "the password is wrong; enter password:",
        "enter the password again. The token has expired, and the secret is missing",
        "password: must be at least 8 characters",
        "invalid token: unexpected end of input",
        "open /run/secrets/db_password: permission denied",
        "open /run/secrets/db_password: no such file or directory",
        "-v /srv/secret:/run/secret:ro -v /srv/token:/token",
        "registry.example.com/team/api-token:1.2.3",
        "password=${DB_PASSWORD} token=$TOKEN secret=secret://db api_key={{ key }}",
        "password_file=/run/secrets/x token_url=https://x/y max_tokens=4096 keyboard=us",
        "password=**** token=[redacted] secret=<secret> passwd=xxxxx",
        "password=true token=null",
        "PWD=/srv/app OLDPWD=/",
        "primary key: id, public_key=abc, cache_key=abc",
        "http://localhost:8080/users/@me",
        "https://registry:5000/a/b@sha256:4bcff639",
        "git@github.com:me/repo.git ssh://git@github.com/me/repo",
        "http://[::1]:8080/x http://me@host/x",
        "Bearer authentication required",
        "authorization: granted",
        "Basic authentication",
        "if password == other.password { }",
        "Token::new(secret::Kind)",
        "cookie: missing",
        "secret: db_password",
        "unknown argument \"token\", did you mean \"tokens\"",
        "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkq\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIkQ1k6rGQ me@host",
        "/var/lib/docker/overlay2/4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1/merged",
        "kernel: task-sk-learning monkey-patch, disk-usage high, ask-me",
        "eyJ is how JSON begins in base64, eyJhbGciOiJIUzI1NiJ9 too",
        "Content-Type: text/html; charset=utf-8",
        "$1$ and $2 are arguments; cost $5$",
        "MTU 1500 on MTA NTP NDP",
    ] {
        assert_eq!(hide(text), (Cow::Borrowed(text), 0), "{text}");
    }
}

/// How many characters are looked at in runs, which is where a second look at the same ones would show.
fn steps(text: &str) -> usize {
    let scan = find(text);
    scan.runs.steps + scan.steps.get()
}

#[test]
fn no_text_is_slow() {
    let n = 20_000;
    for piece in [
        "eyJ",
        "eyJ-",
        "eyJ.",
        "eyJaaaaaaaaaa-",
        "eyJaaaaaaaaaa.",
        "sk-",
        "sk-.",
        "-sk-",
        "SG.",
        "hvs.",
        "ya29.",
        "xoxe.",
        "://",
        "a://",
        "a://b:",
        "a://b:c",
        "a://b:c/",
        "a@",
        "a://b@",
        "MTA.",
        "MTA-",
        ":AA",
        "1:AA-",
        "Q~",
        "8Q~",
        "-us1",
        "password",
        "password=",
        "password='",
        "password=\"",
        "password: ",
        "password:\\\"",
        "key key ",
        "token=,",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN ",
        "sig=",
        "?sig=a",
        "Cookie: a=",
        "cookie:\"a=",
        "authorization:",
        "password=${",
        "password=[",
        "x-api-key:",
        "secret:",
        "Authorization: ",
        "Authorization: Digest ",
        "Bearer ",
        "identified by '",
        "api.telegram.org/bot",
        "<redacted len=",
        "<password>",
        "$1$",
        "$$2y$$",
        "access_token$production$",
        "--password ",
        "a,b=",
    ] {
        let text = piece.repeat(n / piece.len());
        let (small, large) = (steps(&text), steps(&text.repeat(4)));
        assert!(small <= 40 * text.len() && large <= 5 * small.max(text.len()), "{piece}: {small} and {large}");
        // With an unfinished run behind it.
        let tail = format!("{text}{}", "a".repeat(n));
        assert!(steps(&tail) <= 40 * tail.len(), "{piece}");
        // With a mark at its end, which keeps what is in front of it.
        let marked = format!("{text}<redacted len=7 h=0123abcd>");
        assert!(steps(&marked) <= 40 * marked.len(), "{piece}");
    }
}

#[test]
fn a_short_word_has_no_shape() {
    for Token { prefix, least, .. } in TOKENS {
        let is_word = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        assert!(!is_word || prefix.len() + least >= SHORTEST, "{prefix}");
    }
    let anchors = ["password", "pwd", "TOKEN", "Key", "-us1", "eyJ", "MTA", "Bearer", "Cookie", "sig", "AKIA", "xoxb-"];
    for anchor in anchors {
        for filling in ["", "a", "1", "-", ".", "_", "abc.def", "0-us", "-B", "b.c-1", "AAAA1", "1a2b3c4d"] {
            for word in
                [format!("{anchor}{filling}"), format!("{filling}{anchor}"), format!("{anchor}{filling}{anchor}")]
            {
                if is_short_word(&word) {
                    assert_eq!(find(&word).spans, [], "{word}");
                }
            }
        }
    }
    for text in ["", "running", "2f0e3a4b5c6d", "com.docker.x", "a-b_c.d"] {
        assert!(is_short_word(text), "{text}");
    }
    for text in ["pwd=hunter2", "a:b", "key x", "x\u{1b}[1m", "é", "a\u{200b}", "fourteen-chars"] {
        assert!(!is_short_word(text), "{text}");
    }
}

#[test]
fn anchors_that_share_letters_are_all_seen() {
    let token = format!("gh{}{}", "p_", alnum(36));
    for text in [format!("tokenkeypass{token}"), format!("key{token}"), format!("a://b{token}"), format!("%20{token}")]
    {
        assert!(!hide(&text).0.contains(&token), "{text}");
    }
    // The second is found behind the first.
    let two = format!("{token},{token}");
    assert_eq!(hide(&two).1, 2);
}
