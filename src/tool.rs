//! A tool, declared once: its input struct is the tool, and everything a client sees follows from it.

mod call;
pub mod cursor;
mod fleet;
mod hostless;
mod length;
pub mod page;
mod plan;
pub mod plans;
pub mod schema;
pub mod text;

use std::{future::Future, pin::Pin, sync::OnceLock, time::Duration};

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use call::{Call, Means, Progress};
pub use fleet::{FleetCall, FleetTool, HostAnswer, HostStatus, Member, fleet};
pub use hostless::{HostlessCall, HostlessTool, hostless};
pub use plan::{Access, Body, BodyKind, Plan};

pub use crate::docker::{
    access::{Effect, Permission, Permissions},
    cli::Program,
    objects::{Object, ObjectKind},
};
use crate::{
    docker::Docker,
    error::{Error, Result},
    redact,
};

/// A JSON object: arguments, schemas, structured answers.
pub type Json = Map<String, Value>;
/// How long a job may take as a whole.
pub const LONGEST_JOB: Duration = Duration::from_secs(2 * 3600);
/// A boxed future, for what has to be erased.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One tool for one host. The doc comment is its description, the fields are its schema.
pub trait Tool: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {
    /// `verb_noun`, at most 32 characters.
    const NAME: &'static str;
    /// The worst it can do, and what it may need.
    const ACCESS: Access;
    /// Whether it is in the default toolset.
    const CORE: bool = false;
    /// What becomes of a call whose caller has gone; by default a read is stopped and anything else seen through.
    const COURSE: Option<Course> = None;
    /// Whether a call of it can reach beyond the hosts, such as to a registry.
    const OPEN_WORLD: bool = false;
    /// How it takes its host.
    const HOST: HostArgument = HostArgument::One;
    /// The program of this machine that it runs: where that is missing, the tool is not listed and says what to install.
    const PROGRAM: Option<Program> = None;
    /// What it answers.
    type Output: Output;

    /// How long a call may take; `None` is the default of its effect.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// What the call will do: its effect, its permissions, its objects. Sends only reads.
    fn plan(&self, _reading: &Docker, _call: &Call) -> impl Future<Output = Result<Plan>> + Send {
        async { Ok(Plan::declared(Self::ACCESS)) }
    }

    /// Does it, on a connection whose ceiling is the plan.
    fn call(self, docker: &Docker, plan: Plan, call: &Call) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// What a call answers, in the two channels that clients read.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The data, for tools with an output schema.
    pub structured: Option<Json>,
    /// The same as compact text that ends with a one-line summary; or the free text itself.
    pub text: String,
    /// Whether both were made so that they may leave.
    is_presentable: bool,
    /// The bytes of the data as compact JSON, where they were counted.
    counted: Option<usize>,
}

impl Answer {
    /// An answer of a tool's own making.
    #[must_use]
    pub fn new(structured: Option<Json>, text: String) -> Self {
        Self { structured, text, is_presentable: false, counted: None }
    }

    /// The bytes of both channels together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let counted = self.counted.or_else(|| self.structured.as_ref().map(length::of));
        self.text.len() + counted.unwrap_or_default()
    }

    /// What may leave of it: text only, and no more than an answer may have in either channel.
    ///
    /// The gateway passes every answer through here, so no tool can forget it.
    #[must_use]
    pub fn presentable(self) -> Self {
        if self.is_presentable {
            return self;
        }
        let mut counted = None;
        let structured = self.structured.map(|fields| {
            let mut document = Value::Object(fields);
            redact::texts(&mut document);
            let Value::Object(mut fields) = document else { return Json::new() };
            counted = Some(page::fit(&mut fields));
            fields
        });
        // Line by line where a line is a row: what one row holds must not reach into the next. Free text was
        // masked as a whole before it was fenced.
        let text = match &structured {
            Some(_) => redact::lines(self.text),
            None => redact::shown(&self.text),
        };
        Self { structured, text: page::cut(text), is_presentable: true, counted }
    }
}

impl Answer {
    /// What was written of an output, masked, fitted into the budgets, and as text.
    fn of(written: serde_json::Result<Value>, summary: &str, host: Option<&str>) -> Result<Self> {
        let mut document =
            written.map_err(|error| Error::internal("an answer cannot be written").detail(error.to_string()))?;
        let not_an_object = || Error::internal("an answer is not an object");
        if let Some(host) = host {
            let fields = document.as_object_mut().ok_or_else(not_an_object)?;
            // In front; where the data name one themselves, it is that.
            let named = fields.shift_remove("host").unwrap_or_else(|| host.into());
            fields.shift_insert(0, "host".into(), named);
        }
        // Before anything is cut: half a secret has no shape.
        redact::texts(&mut document);
        let Value::Object(mut structured) = document else { return Err(not_an_object()) };
        let counted = Some(page::fit(&mut structured));
        let text = page::cut(redact::lines(text::render(&structured, summary)));
        Ok(Self { structured: Some(structured), text, is_presentable: true, counted })
    }

    /// Adds what has to be said beside: in the text in front of the last line, among the data as `notes`.
    #[must_use]
    pub fn noting<'a>(mut self, notes: impl Iterator<Item = &'a String>) -> Self {
        let notes: Vec<&str> = notes.map(String::as_str).collect();
        if notes.is_empty() {
            return self;
        }
        if let Some(fields) = &mut self.structured {
            let all = fields.entry("notes").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(all) = all {
                all.extend(notes.iter().map(|note| Value::from(*note)));
            }
        }
        let lines = format!("note: {}\n", notes.join("\nnote: "));
        let summary = self.text.trim_end().rfind('\n').map_or(0, |end| end + 1);
        self.text.insert_str(summary, &lines);
        (self.is_presentable, self.counted) = (false, None);
        self
    }
}

/// What a tool can answer with.
pub trait Output: Send + 'static {
    /// The schema, or `None` for free text.
    fn schema() -> Option<Json>;
    /// The answer; `host` is named in it unless the data name their hosts themselves.
    ///
    /// # Errors
    /// `internal` when it cannot be serialised.
    fn answer(self, host: Option<&str>) -> Result<Answer>;
}

/// The last line of an answer: what it says, in one sentence.
pub trait Summary {
    /// The sentence, without a full stop.
    fn summary(&self) -> String;
}

impl<T: Serialize + JsonSchema + Summary + Send + 'static> Output for T {
    fn schema() -> Option<Json> {
        Some(schema::output(T::json_schema))
    }

    fn answer(self, host: Option<&str>) -> Result<Answer> {
        let summary = self.summary();
        Answer::of(serde_json::to_value(self), &summary, host)
    }
}

/// Free text out of a container or an engine: no output schema, and its origin in front.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// Where it comes from, such as `container web`.
    pub source: String,
    /// The text itself.
    pub body: String,
    /// What it is, in one sentence: how many lines of how many, and how to get more.
    pub summary: String,
}

impl Output for Text {
    fn schema() -> Option<Json> {
        None
    }

    fn answer(self, host: Option<&str>) -> Result<Answer> {
        let host = host.map(|host| format!("host {host}, ")).unwrap_or_default();
        let text = text::fence(&format!("{host}{}", self.source), &self.body, &self.summary)?;
        Ok(Answer::new(None, page::cut(text)))
    }
}

/// How a tool takes `host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostArgument {
    /// It has none.
    None,
    /// One host by name.
    One,
    /// The host of the plan that its argument `plan` names.
    Planned,
    /// One host, `all`, or a tag.
    Fleet {
        /// Whether none given means all.
        whole: bool,
    },
}

/// What becomes of a call whose caller has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// What it has sent is never cut off.
    SeenThrough,
    /// It is stopped at once, whatever it has sent.
    Stoppable,
    /// The same, when the last one who waits for it has gone: every call is a job from its beginning, and
    /// identical ones are one piece of work.
    Job,
}

/// What a client and the policy see of a tool.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Card {
    /// The MCP name.
    pub name: &'static str,
    /// The name as people write it: `List containers`.
    pub title: String,
    /// What it may do and need.
    pub access: Access,
    /// Whether it is in the default toolset.
    pub core: bool,
    /// What becomes of a call whose caller has gone.
    pub course: Course,
    /// Whether a call of it can reach beyond the hosts.
    pub open_world: bool,
    /// How it takes `host`.
    pub host: HostArgument,
    /// The program of this machine that it runs.
    pub program: Option<Program>,
    /// Whether it sees the operator's own configuration of the docker CLI.
    pub cli_config: bool,
    /// Whether a call can be answered with the job that it has become, whose id is then among the fields.
    may_become_job: bool,
    /// The description and the input schema, written when somebody asks for them: most tools are never looked at.
    described: OnceLock<(String, Json)>,
    describe: schema::Describe,
    output: fn() -> Option<Json>,
}

impl Card {
    /// The card of an input struct, an output and what was declared.
    #[must_use]
    pub fn of<I: JsonSchema, O: Output>(name: &'static str, access: Access, core: bool, host: HostArgument) -> Self {
        let course = if access.effect == Effect::Read { Course::Stoppable } else { Course::SeenThrough };
        Self {
            name,
            title: title(name),
            access,
            core,
            course,
            open_world: false,
            host,
            program: None,
            cli_config: false,
            may_become_job: false,
            described: OnceLock::new(),
            describe: I::json_schema,
            output: O::schema,
        }
    }
}

impl Card {
    /// Whether its calls name a host, as far as they do not mean the default.
    #[must_use]
    pub fn names_host(&self) -> bool {
        !matches!(self.host, HostArgument::None | HostArgument::Planned)
    }

    /// The description.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.described.get_or_init(|| schema::input(self.describe)).0
    }

    /// The input schema without `host`.
    #[must_use]
    pub fn input(&self) -> &Json {
        &self.described.get_or_init(|| schema::input(self.describe)).1
    }

    /// The output schema, unless it answers with free text.
    #[must_use]
    pub fn output(&self) -> Option<Json> {
        let mut output = (self.output)();
        let properties = output.as_mut().and_then(|schema| schema.get_mut("properties")?.as_object_mut());
        if let Some(properties) = properties.filter(|_| self.may_become_job) {
            properties.insert("job".into(), serde_json::json!({"type": "string"}));
        }
        output
    }
}

fn title(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut characters = words.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// A tool as a plain value.
pub struct Def {
    /// What is seen of it.
    pub card: Card,
    /// How its arguments become a call.
    pub parse: Parse,
}

/// How arguments become a call.
#[derive(Clone, Copy)]
pub enum Parse {
    /// Of one host.
    One(fn(Json, &Json) -> Result<Box<dyn OneCall>>),
    /// Of many.
    Fleet(fn(Json, &Json) -> Result<Box<dyn FleetCall>>),
    /// Of none.
    Hostless(fn(Json, &Json) -> Result<Box<dyn HostlessCall>>),
}

/// A named group of tools.
pub struct Toolset {
    /// The name of `--toolsets`.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// Its tools, in the order of the documentation.
    pub tools: &'static [fn() -> Def],
}

/// The definition of a tool for one host.
#[must_use]
pub fn def<T: Tool>() -> Def {
    let mut card = Card::of::<T, T::Output>(T::NAME, T::ACCESS, T::CORE, T::HOST);
    card.course = T::COURSE.unwrap_or(card.course);
    card.open_world = T::OPEN_WORLD;
    card.program = T::PROGRAM;
    card.may_become_job = true;
    Def { card, parse: Parse::One(|arguments, schema| Ok(Box::new(schema::parse::<T>(arguments, schema)?))) }
}

/// The arguments of a parsed call, defaults included.
#[must_use]
pub fn written(arguments: &impl Serialize) -> Json {
    match serde_json::to_value(arguments) {
        Ok(Value::Object(fields)) => fields,
        _ => Json::new(),
    }
}

/// A parsed call of a [`Tool`], erased.
pub trait OneCall: Send + Sync {
    /// The parsed arguments, defaults included.
    fn arguments(&self) -> Json;
    /// See [`Tool::deadline`].
    fn deadline(&self) -> Option<Duration>;
    /// See [`Tool::plan`].
    fn plan<'a>(&'a self, reading: &'a Docker, call: &'a Call) -> Pending<'a, Result<Plan>>;
    /// See [`Tool::call`].
    fn call<'a>(self: Box<Self>, docker: &'a Docker, plan: Plan, call: &'a Call) -> Pending<'a, Result<Answer>>;
}

impl<T: Tool> OneCall for T {
    fn arguments(&self) -> Json {
        written(self)
    }

    fn deadline(&self) -> Option<Duration> {
        Tool::deadline(self)
    }

    fn plan<'a>(&'a self, reading: &'a Docker, call: &'a Call) -> Pending<'a, Result<Plan>> {
        Box::pin(Tool::plan(self, reading, call))
    }

    fn call<'a>(self: Box<Self>, docker: &'a Docker, plan: Plan, call: &'a Call) -> Pending<'a, Result<Answer>> {
        Box::pin(async move { Tool::call(*self, docker, plan, call).await?.answer(Some(docker.host())) })
    }
}
