//! A daemon full of secrets: every one is another, and it knows what it has told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::simulated::{Act, Daemon, Heard, WEB, answer, engine, frame};

/// What gives a secret away: nothing but its place, or its shape wherever it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// No shape at all: only where it stands tells.
    Plain,
    Aws,
    Google,
    GitHub,
    FineGrained,
    GitLab,
    Slack,
    Stripe,
    Npm,
    Pypi,
    SendGrid,
    Vault,
    Jwt,
    Bearer,
    Basic,
    Address,
    Assigned,
}

impl Shape {
    /// Those that give themselves away in any text.
    pub(super) const FREE: [Self; 16] = [
        Self::Aws,
        Self::Google,
        Self::GitHub,
        Self::FineGrained,
        Self::GitLab,
        Self::Slack,
        Self::Stripe,
        Self::Npm,
        Self::Pypi,
        Self::SendGrid,
        Self::Vault,
        Self::Jwt,
        Self::Bearer,
        Self::Basic,
        Self::Address,
        Self::Assigned,
    ];
}

/// How the daemon behaves beside telling secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Sane,
    /// Every answer is an error.
    Refuses,
    /// Reads are answered, nothing else is.
    RefusesWrites,
}

/// What was planted; two gardens differ in nothing but the secrets themselves.
#[derive(Clone)]
pub(super) struct Garden {
    variant: u64,
    mood: Mood,
    told: Arc<Mutex<Told>>,
}

/// What was told, and every piece of it that nobody may see.
#[derive(Default)]
struct Told {
    secrets: BTreeMap<String, String>,
    pieces: HashMap<Vec<u8>, String>,
}

/// So many characters of a secret in a row are more than anybody may see.
const PIECE: usize = 12;
/// What every secret of a shape begins with tells nothing.
const BEGINNINGS: [&str; 3] = ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOi", "pypi-AgEIcHlwaS5vcmc", "github_pat_"];

const UPPER: &str = "ABCDEFGHJKMNPQRSTUVWXYZ234567";
const ALNUM: &str = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

impl Garden {
    pub(super) fn new(variant: u64, mood: Mood) -> Self {
        Self { variant, mood, told: Arc::default() }
    }

    /// The daemon of this garden.
    pub(super) fn daemon(&self) -> Daemon {
        let garden = self.clone();
        Daemon::new(move |heard| garden.act(heard))
    }

    /// Everything that was told so far: places and secrets.
    pub(super) fn told(&self) -> BTreeMap<String, String> {
        self.told.lock().unwrap().secrets.clone()
    }

    /// The places whose secrets a text shows.
    pub(super) fn shown(&self, text: &str) -> BTreeSet<String> {
        let told = self.told.lock().unwrap();
        text.as_bytes().windows(PIECE).filter_map(|piece| told.pieces.get(piece).cloned()).collect()
    }

    /// How many characters of a secret are those of every secret of its shape.
    pub(super) fn beginning(secret: &str) -> usize {
        BEGINNINGS.iter().find(|beginning| secret.starts_with(**beginning)).map_or(0, |beginning| beginning.len())
    }

    fn note(&self, place: &str, secret: &str) {
        let mut told = self.told.lock().unwrap();
        if told.secrets.insert(place.to_owned(), secret.to_owned()).is_none() {
            let rest = &secret.as_bytes()[Self::beginning(secret)..];
            told.pieces.extend(rest.windows(PIECE).map(|piece| (piece.to_vec(), place.to_owned())));
        }
    }

    /// The secret of a place; the same whenever it is told.
    fn secret(&self, shape: Shape, place: &str) -> String {
        let mut seed = place
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325 ^ self.variant.wrapping_mul(0x9e37_79b9_7f4a_7c15), |seed, byte| {
                (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
            | 1;
        let mut draw = |length: usize, from: &str| -> String {
            (0..length)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    char::from(from.as_bytes()[(seed >> 11) as usize % from.len()])
                })
                .collect()
        };
        let secret = match shape {
            // No digit of a mark can be mistaken for its beginning.
            Shape::Plain | Shape::Bearer | Shape::Basic | Shape::Address | Shape::Assigned => {
                format!("Zq{}", draw(22, ALNUM))
            }
            Shape::Aws => format!("AKIA{}", draw(16, UPPER)),
            Shape::Google => format!("AIza{}", draw(35, ALNUM)),
            Shape::GitHub => format!("ghp_{}", draw(36, ALNUM)),
            Shape::FineGrained => format!("github_pat_{}_{}", draw(22, ALNUM), draw(59, ALNUM)),
            Shape::GitLab => format!("glpat-{}", draw(20, ALNUM)),
            Shape::Slack => format!("xoxb-{}-{}-{}", draw(12, "123456789"), draw(12, "123456789"), draw(24, ALNUM)),
            Shape::Stripe => format!("sk_live_{}", draw(24, ALNUM)),
            Shape::Npm => format!("npm_{}", draw(36, ALNUM)),
            Shape::Pypi => format!("pypi-AgEIcHlwaS5vcmc{}", draw(60, ALNUM)),
            Shape::SendGrid => format!("SG.{}.{}", draw(22, ALNUM), draw(43, ALNUM)),
            Shape::Vault => format!("hvs.{}", draw(24, ALNUM)),
            Shape::Jwt => format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOi{}.{}", draw(24, ALNUM), draw(43, ALNUM)),
        };
        self.note(place, &secret);
        secret
    }

    /// A secret without a shape, where its place tells.
    pub(super) fn hidden(&self, place: &str) -> String {
        self.secret(Shape::Plain, place)
    }

    /// A text with a secret that its shape gives away.
    fn said(&self, shape: Shape, place: &str) -> String {
        let place = format!("{place}/{shape:?}");
        let secret = self.secret(shape, &place);
        match shape {
            Shape::Bearer => format!("sent Authorization: Bearer {secret}"),
            Shape::Basic => format!("sent authorization: Basic {secret}=="),
            Shape::Address => format!("asked https://someone:{secret}@example.com/x"),
            Shape::Assigned => format!("started with password={secret}"),
            _ => format!("it said {secret} there"),
        }
    }

    /// Lines with a secret of every shape.
    fn lines(&self, place: &str) -> Vec<String> {
        Shape::FREE.iter().map(|shape| self.said(*shape, place)).collect()
    }

    /// Some texts of different shapes, another choice for every place.
    fn some(&self, place: &str) -> String {
        let first = place.bytes().map(usize::from).sum::<usize>();
        let shapes = (0..3).map(|number| Shape::FREE[(first + number * 5) % Shape::FREE.len()]);
        shapes.map(|shape| self.said(shape, place)).collect::<Vec<_>>().join("; ")
    }

    /// A key as it is written into a log, whose lines are secrets each.
    fn key(&self, place: &str) -> Vec<String> {
        let lines = (0..3).map(|line| {
            let place = format!("{place}/key/{line}");
            let secret =
                format!("MIIE{}{}", self.secret(Shape::Plain, &place), "QkFTRTY0bGluZXNBcmU2NExvbmdJblBlbUJsb2N");
            secret.chars().take(64).collect::<String>()
        });
        let begin = "-----BEGIN RSA PRIVATE KEY-----".to_owned();
        let end = "-----END RSA PRIVATE KEY-----".to_owned();
        std::iter::once(begin).chain(lines).chain([end]).collect()
    }

    fn environment(&self, place: &str, names: &[&str]) -> Vec<String> {
        let of = |name: &&str| format!("{name}={}", self.hidden(&format!("{place}/env/{name}")));
        names.iter().map(of).chain(["TZ=Europe/Berlin".to_owned()]).collect()
    }

    fn labels(&self, place: &str) -> Value {
        let mut labels = json!({
            "tier": "front",
            "com.docker.compose.project": "shop",
            "traefik.http.middlewares.a.basicauth.users": self.hidden(&format!("{place}/label/basicauth")),
            "note": self.some(&format!("{place}/label/note")),
        });
        for key in ["secret", "app.password", "vendor.api-key", "deploy_token"] {
            labels[key] = self.hidden(&format!("{place}/label/{key}")).into();
        }
        labels
    }

    fn options(&self, place: &str, keys: &[&str]) -> Value {
        keys.iter()
            .map(|key| ((*key).to_owned(), Value::from(self.hidden(&format!("{place}/option/{key}")))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn argv(&self, place: &str) -> Vec<String> {
        let secret = |flag: &str| self.hidden(&format!("{place}/argv/{flag}"));
        vec![
            "serve".to_owned(),
            "--password".to_owned(),
            secret("password"),
            format!("--auth-token={}", secret("auth-token")),
            format!("--database=postgres://app:{}@db/app", secret("database")),
        ]
    }

    /// What a container's environment gives away in its own output.
    const VARIABLES: [&'static str; 8] =
        ["DB_PASSWORD", "API_KEY", "SESSION_SECRET", "SMTP_PASS", "DATABASE_URL", "REDIS_DSN", "SOMETHING", "LICENSE"];

    /// Lines in which a process tells its own variables.
    fn own_variables(&self) -> Vec<String> {
        let values = self.environment("container", &Self::VARIABLES);
        let values = values.iter().take(Self::VARIABLES.len()).filter_map(|variable| variable.split_once('='));
        values.map(|(_, value)| format!("connecting with {value} now")).collect()
    }

    fn act(&self, heard: &Heard) -> Act {
        let path = heard.path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let is_meeting = matches!(segments[..], ["_ping" | "version"]);
        let refuses = match self.mood {
            Mood::Sane => false,
            Mood::Refuses => true,
            Mood::RefusesWrites => !heard.looks(),
        };
        if refuses && !is_meeting {
            let words = self.some(&format!("error {} {path}", heard.method));
            let body = json!({"message": format!("it failed: {words}")}).to_string();
            return Act::Send(answer("500 Internal Server Error", "application/json", "1.45", body.as_bytes()));
        }
        let streams = |lines: Vec<(u8, String)>| {
            let stamp = if heard.target.contains("timestamps=1") { "2026-01-01T00:00:00.00000000" } else { "" };
            let frames = lines.into_iter().enumerate().map(|(number, (source, line))| match stamp {
                "" => frame(source, &format!("{line}\n")),
                stamp => frame(source, &format!("{stamp}{}Z {line}\n", number % 10)),
            });
            let kind = "application/vnd.docker.multiplexed-stream";
            Act::Send(answer("200 OK", kind, "1.45", &frames.collect::<Vec<_>>().concat()))
        };
        match (heard.method.as_str(), &segments[..]) {
            ("GET", ["containers", _, "logs"]) => {
                let mut lines: Vec<(u8, String)> = Vec::new();
                // Both outputs have something open at the same time.
                for (out, error) in self.key("log/out").into_iter().zip(self.key("log/error")) {
                    lines.extend([(1, out), (2, error)]);
                }
                lines.extend(self.lines("log/out").into_iter().map(|line| (1, line)));
                lines.extend(self.lines("log/error").into_iter().map(|line| (2, line)));
                lines.extend(self.own_variables().into_iter().map(|line| (1, line)));
                streams(lines)
            }
            ("POST", ["exec", _, "start"] | ["containers", _, "attach"]) => {
                let switch = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
                    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
                let mut text = [self.lines("exec/out"), self.own_variables(), self.key("exec/out")].concat().join("\n");
                // The last line has no end, and every chunk ends within something.
                text.extend(["\n", &self.said(Shape::GitHub, "exec/last")]);
                let chunks = text.as_bytes().chunks(37);
                let frames =
                    chunks.map(|chunk| frame(1, std::str::from_utf8(chunk).unwrap())).collect::<Vec<_>>().concat();
                Act::Last([switch.as_bytes(), &frames].concat())
            }
            ("GET", ["events"]) => self.events(),
            ("POST", ["images", "create"]) => {
                let texts = ["Pulling from lab/base".to_owned(), self.some("pull/status"), self.some("pull/end")];
                let lines: Vec<String> =
                    texts.iter().map(|text| json!({"status": text}).to_string() + "\r\n").collect();
                let lines = lines.concat();
                Act::Send(answer("200 OK", "application/json", "1.45", lines.as_bytes()))
            }
            _ => match engine(heard) {
                Act::Send(bytes) => self.sown(&segments, &bytes),
                other => other,
            },
        }
    }

    fn events(&self) -> Act {
        let event = |action: &str, attributes: Value| {
            let mut all = self.labels("event");
            all.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
            format!(
                "{}\n",
                json!({"Type": "container", "Action": action, "scope": "local", "Actor": {"ID": WEB, "Attributes": all},
                    "time": 1_763_600_000, "timeNano": 1_763_600_000_000_000_000_i64})
            )
        };
        let argv = self.argv("event/exec").join(" ");
        let own = self.own_variables().join(" ");
        let text = [
            event("start", json!({"name": "web", "image": "lab/base:1"})),
            event(&format!("exec_create: {argv}"), json!({"name": "web", "execID": "1"})),
            event(&format!("exec_start: sh -c '{own}'"), json!({"name": "web", "execID": "1"})),
            event("die", json!({"name": "web", "exitCode": "1", "reason": self.some("event/reason")})),
        ];
        Act::Send(answer("200 OK", "application/json", "1.45", text.concat().as_bytes()))
    }

    /// The sane engine's answer with secrets wherever one may stand.
    fn sown(&self, segments: &[&str], bytes: &[u8]) -> Act {
        let unchanged = || Act::Send(bytes.to_vec());
        let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return unchanged() };
        let Ok(mut document) = serde_json::from_slice::<Value>(&bytes[head_end + 4..]) else { return unchanged() };
        let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
        let status = head.lines().next().unwrap_or_default().trim_start_matches("HTTP/1.1 ").to_owned();
        self.sow(segments, &mut document);
        Act::Send(answer(&status, "application/json", "1.45", document.to_string().as_bytes()))
    }

    fn sow(&self, segments: &[&str], document: &mut Value) {
        match segments {
            ["containers", "json"] => {
                for row in document.as_array_mut().unwrap() {
                    self.container_row(row);
                }
            }
            ["containers", _, "json"] if document.get("Config").is_some() => self.container(document),
            ["containers", "create"] => document["Warnings"] = json!([self.some("create/warning")]),
            ["containers", _, "update"] => document["Warnings"] = json!([self.some("update/warning")]),
            ["containers", _, "top"] => {
                *document = json!({"Titles": ["PID", "CMD"], "Processes": [
                    ["1", self.argv("top").join(" ")], ["2", self.own_variables().join(" ")], ["3", self.some("top/said")]]});
            }
            ["exec", _, "json"] => document["ProcessConfig"]["arguments"] = json!(self.argv("exec/process")),
            ["images", "json"] => document[0]["Labels"] = self.labels("image row"),
            ["images", "search"] => document[0]["description"] = self.some("search").into(),
            ["images", .., "history"] => self.history(document),
            ["images", .., "json"] if document.get("Config").is_some() => self.image(document),
            ["networks"] => {
                for row in document.as_array_mut().unwrap() {
                    row["Labels"] = self.labels("network row");
                    row["Options"] = self.options("network row", &["vendor.password", "auth"]);
                }
            }
            ["networks", "create"] => document["Warning"] = self.some("network/warning").into(),
            ["networks", ..] => {
                document["Labels"] = self.labels("network");
                document["Options"] = self.options("network", &["vendor.password", "vendor.token"]);
            }
            ["volumes"] => {
                self.volume("volume row", &mut document["Volumes"][0]);
                document["Warnings"] = json!([self.some("volumes/warning")]);
            }
            ["volumes", ..] => self.volume("volume", document),
            ["system", "df"] => {
                self.container_row(&mut document["Containers"][0]);
                document["Images"][0]["Labels"] = self.labels("df image");
                self.volume("df volume", &mut document["Volumes"][0]);
                document["BuildCache"][0]["Description"] = self.some("df/cache").into();
            }
            ["info"] => {
                let proxy = |name: &str| format!("http://someone:{}@proxy:3128", self.hidden(&format!("info/{name}")));
                document["HttpProxy"] = proxy("http").into();
                document["HttpsProxy"] = proxy("https").into();
                document["Warnings"] = json!([self.some("info/warning")]);
                document["Labels"] = json!([format!("secret={}", self.hidden("info/label")), "zone=a"]);
                document["RegistryConfig"]["Mirrors"] =
                    json!([format!("https://someone:{}@mirror/", self.hidden("info/mirror"))]);
                document["DriverStatus"] = json!([["said", self.some("info/driver")]]);
            }
            ["version"] => document["Components"][0]["Version"] = self.some("version").into(),
            _ => {}
        }
    }

    fn container_row(&self, row: &mut Value) {
        row["Labels"] = self.labels("container row");
        row["Command"] = self.argv("container row").join(" ").into();
        row["Mounts"][0]["Source"] = "/v".into();
    }

    fn container(&self, document: &mut Value) {
        let mut environment = self.environment("container", &Self::VARIABLES);
        environment.push("LOG_LEVEL=debug".to_owned());
        document["Config"]["Env"] = json!(environment);
        document["Config"]["Labels"] = self.labels("container");
        document["Config"]["Cmd"] = json!(self.argv("container/cmd"));
        document["Config"]["Entrypoint"] = json!(self.argv("container/entrypoint"));
        document["Args"] = json!(self.argv("container/args"));
        let own = self.own_variables();
        document["Config"]["Healthcheck"] = json!({"Test": ["CMD-SHELL", self.argv("container/test").join(" ")]});
        let probes = [own.join("\n"), self.some("container/health"), own.join(" ")];
        let probes: Vec<Value> = probes.iter().map(|output| json!({"ExitCode": 1, "Output": output})).collect();
        document["State"]["Health"] = json!({"Status": "unhealthy", "FailingStreak": 3, "Log": probes});
        document["State"]["Error"] = self.some("container/error").into();
        document["HostConfig"]["LogConfig"] =
            json!({"Type": "splunk", "Config": self.options("container/log", &["splunk-token", "vendor-anything"])});
        document["HostConfig"]["Mounts"] = json!([{"Type": "volume", "Source": "data", "Target": "/data",
            "VolumeOptions": {"DriverConfig": {"Name": "x", "Options": self.options("container/mount", &["key", "o-secret"])}}}]);
    }

    fn image(&self, document: &mut Value) {
        document["Config"]["Env"] = json!(self.environment("image", &["TOKEN", "BAKED", "NPM_CONFIG"]));
        document["Config"]["Labels"] = self.labels("image");
        document["Config"]["Cmd"] = json!(self.argv("image/cmd"));
        document["Config"]["OnBuild"] = json!([format!("ENV LATER={}", self.hidden("image/onbuild"))]);
        document["Author"] = self.some("image/author").into();
        document["Comment"] = self.some("image/comment").into();
        document["ContainerConfig"] = json!({"Env": self.environment("image/made", &["MADE"]),
            "Cmd": ["/bin/sh", "-c", "#(nop) ", format!("ENV MADE={}", self.hidden("image/made/cmd"))]});
    }

    fn history(&self, document: &mut Value) {
        let step = |text: String| {
            json!({"Id": "<missing>", "Created": 1_763_600_000, "CreatedBy": text, "Tags": null,
            "Size": 5, "Comment": self.some("history/comment")})
        };
        let secret = |name: &str| self.hidden(&format!("history/{name}"));
        *document = json!([
            step(format!("/bin/sh -c #(nop)  ENV A={}", secret("classic"))),
            step(format!("ENV B={} C={}", secret("first"), secret("second"))),
            step(format!("ENV OLD {}", secret("old"))),
            step(format!("ARG NPM_TOKEN={}", secret("argument"))),
            step(format!("|1 A={} /bin/sh -c make", secret("classic run"))),
            step(format!("RUN |2 A={} B={} /bin/sh -c make # buildkit", secret("run"), secret("run too"))),
            step(format!("RUN /bin/sh -c curl --password {} https://x", secret("flag"))),
            step(self.some("history/said")),
        ]);
    }

    fn volume(&self, place: &str, volume: &mut Value) {
        volume["Labels"] = self.labels(place);
        volume["Options"] = self.options(place, &["password", "vendor"]);
        volume["Options"]["o"] =
            format!("addr=10.0.0.1,username=me,password={},ro", self.hidden(&format!("{place}/o"))).into();
    }
}
