//! What a soak showed: the rules and whether they held, a table over time, and the same as JSON.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    client::Failure,
    faults::Fault,
    tally::Tally,
    watch::{Sample, quantile},
};

/// What memory may grow by, beside a tenth, in KiB.
const MEMORY: usize = 4 << 10;
/// What descriptors may grow by.
const DESCRIPTORS: usize = 5;
/// What may be open at rest beyond the start: the session of ssh, one stream of events for each host.
const RESTING: usize = 12;

pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    pub(crate) samples: Vec<Sample>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) begun: Instant,
    pub(crate) at_start: usize,
    /// Memory in KiB, and descriptors.
    pub(crate) at_rest: (usize, usize),
    pub(crate) runs: usize,
    pub(crate) leaving: Duration,
}

/// One rule, what was measured, and whether it held.
struct Rule {
    rule: &'static str,
    measured: String,
    held: bool,
}

impl Report {
    /// Writes both files; answers whether every rule held.
    pub(crate) fn write(&self, tally: &Tally, out: &Path) -> Result<bool, Failure> {
        let rules = self.rules(tally);
        let held = rules.iter().all(|rule| rule.held);
        std::fs::write(out.with_extension("md"), self.page(tally, &rules)?)?;
        std::fs::write(
            out.with_extension("json"),
            serde_json::to_string_pretty(&self.document(tally, &rules))? + "\n",
        )?;
        Ok(held)
    }

    /// The medians of an early and of the last sixth: minutes 3 to 8 and the last 5 of 30.
    fn ends(&self, figure: impl Fn(&Sample) -> usize) -> (usize, usize) {
        let total = self.length.as_secs_f64();
        let median = |from: f64, to: f64| {
            let within =
                self.samples.iter().filter(|sample| sample.at >= from * total && sample.at <= to * total + 5.0);
            let mut figures: Vec<usize> = within.map(&figure).collect();
            figures.sort_unstable();
            figures.get(figures.len() / 2).copied().unwrap_or(0)
        };
        (median(0.1, 0.267), median(0.833, 1.0))
    }

    fn rules(&self, tally: &Tally) -> Vec<Rule> {
        let (early, late) = self.ends(|sample| sample.memory);
        let (opened, open) = self.ends(|sample| sample.descriptors);
        let (began, run) = self.ends(|sample| sample.threads);
        let mut counts = tally.counts();
        let calm = quantile(&mut counts.calm, 0.5) * 1000.0;
        let meanwhile = quantile(&mut counts.meanwhile, 0.5) * 1000.0;
        let rule = |rule, measured, held| Rule { rule, measured, held };
        vec![
            rule(
                "memory is flat: the median of the last sixth of the samples is at most that of an early one (minutes 3 to 8 of 30) and 10 % and 4 MiB",
                format!("{} and {} MiB", mib(early), mib(late)),
                early > 0 && late <= early + early / 10 + MEMORY,
            ),
            rule(
                "file descriptors are flat: the same medians, at most 5 more",
                format!("{opened} and {open}"),
                open <= opened + DESCRIPTORS,
            ),
            rule("threads are flat: the same medians, at most 2 more", format!("{began} and {run}"), run <= began + 2),
            rule(
                "two minutes after the last call at most 12 descriptors more are open than before the first",
                format!("{} and {}", self.at_start, self.at_rest.1),
                self.at_rest.1 <= self.at_start + RESTING,
            ),
            rule(
                "every call that was not taken back is answered, once",
                format!("{} of {} unanswered", counts.unanswered, counts.calls),
                counts.unanswered == 0,
            ),
            rule(
                "no read of a healthy host fails while another one suffers",
                format!("{} of {}", counts.dragged_down, counts.meanwhile.len() + counts.dragged_down),
                counts.dragged_down == 0,
            ),
            rule(
                "reads of healthy hosts keep their median while another one suffers, within 2 times and 20 ms",
                format!("{calm:.1} and {meanwhile:.1} ms"),
                meanwhile <= calm * 2.0 + 20.0,
            ),
            rule(
                "every failure is of a kind that its host's state explains and names its host; every write was done at most once, and exactly once when it said so; every host came back by itself",
                format!("{} breaches; {} containers run", counts.broken, self.runs),
                counts.broken == 0,
            ),
            rule(
                "the process ends within 6 s of its client's leaving",
                format!("{:.1} s", self.leaving.as_secs_f64()),
                self.leaving < Duration::from_secs(6),
            ),
        ]
    }

    fn page(&self, tally: &Tally, rules: &[Rule]) -> Result<String, Failure> {
        let mut page = format!(
            "# A soak of {:.0} minutes\n\nWritten by `integration/soak`. One process over standard streams, 32 calls in flight all the time, on three real hosts (a unix socket with engine 20.10, TLS and SSH with engine 26.1), one that is dead and one that never answers, while faults go on.\n\n",
            self.length.as_secs_f64() / 60.0
        );
        page.push_str("| rule | measured | held |\n| --- | --- | --- |\n");
        for Rule { rule, measured, held } in rules {
            writeln!(page, "| {rule} | {measured} | {} |", if *held { "yes" } else { "**no**" })?;
        }
        page.push_str("\n## Over time\n\nAt the end of each minute; median and slowest are of `list_containers` and `inspect_container` on healthy hosts in the ten seconds before.\n\n");
        page.push_str("| minute | memory, MiB | descriptors | threads | calls | failed | taken back | median, ms | slowest, ms |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
        let step = if self.length > Duration::from_secs(900) { 12 } else { 6 };
        for sample in self.samples.iter().skip(5).step_by(step) {
            writeln!(
                page,
                "| {:.0} | {} | {} | {} | {} | {} | {} | {:.1} | {:.0} |",
                sample.at / 60.0,
                mib(sample.memory),
                sample.descriptors,
                sample.threads,
                sample.calls,
                sample.failed,
                sample.taken_back,
                sample.median * 1000.0,
                sample.slowest * 1000.0
            )?;
        }
        writeln!(
            page,
            "\nAt rest, two minutes after the last call: {} MiB, {} descriptors.",
            mib(self.at_rest.0),
            self.at_rest.1
        )?;
        let mut counts = tally.counts();
        let quantiles = |figures: &mut Vec<f64>| [0.5, 0.95, 0.99, 1.0].map(|share| quantile(figures, share) * 1000.0);
        page.push_str("\n## Reads of healthy hosts\n\n| | calls | median, ms | 95 % | 99 % | slowest |\n| --- | ---: | ---: | ---: | ---: | ---: |\n");
        for (when, figures) in [
            ("no fault anywhere", quantiles(&mut counts.calm)),
            ("another host suffers", quantiles(&mut counts.meanwhile)),
        ] {
            let number = if when.starts_with("no") { counts.calm.len() } else { counts.meanwhile.len() };
            let [median, most, nearly, all] = figures;
            writeln!(page, "| {when} | {number} | {median:.1} | {most:.1} | {nearly:.1} | {all:.0} |")?;
        }
        page.push_str("\n## Failures\n\n\"docker\" is an answer that broke off. The calls that make no sense are meant to fail: `invalid`, and the errors of the protocol.\n\n| host | kind | calls |\n| --- | --- | ---: |\n");
        for ((host, kind), number) in &counts.failures {
            writeln!(page, "| {host} | {kind} | {number} |")?;
        }
        page.push_str("\n## Faults\n\n| host | what | times |\n| --- | --- | ---: |\n");
        let mut faults = BTreeMap::<(&str, &str), usize>::new();
        for fault in &self.faults {
            let kind = fault.what.split(',').next().unwrap_or_default();
            let kind = kind.split(" for ").next().unwrap_or_default();
            *faults.entry((fault.host, kind)).or_default() += 1;
        }
        for ((host, what), number) in faults {
            writeln!(page, "| {host} | {what} | {number} |")?;
        }
        page.push_str("\n## Calls\n\n| tool | calls |\n| --- | ---: |\n");
        for (tool, number) in &counts.tools {
            writeln!(page, "| {tool} | {number} |")?;
        }
        if counts.broken > 0 {
            writeln!(page, "\n## Broken rules\n\n{} in all.\n", counts.broken)?;
            for quote in &counts.quotes {
                writeln!(page, "- {}", quote.replace('\n', " "))?;
            }
        }
        Ok(page)
    }

    fn document(&self, tally: &Tally, rules: &[Rule]) -> Value {
        let counts = tally.counts();
        let seconds = |moment: Instant| (moment.duration_since(self.begun).as_secs_f64() * 10.0).round() / 10.0;
        let faults = self.faults.iter().map(
            |fault| json!({"host": fault.host, "what": fault.what, "from": seconds(fault.from), "to": fault.to.map(seconds)}),
        );
        let failures =
            counts.failures.iter().map(|((host, kind), number)| json!({"host": host, "kind": kind, "calls": number}));
        let rules = rules.iter().map(|rule| json!({"rule": rule.rule, "measured": rule.measured, "held": rule.held}));
        json!({
            "seconds": self.length.as_secs(), "seed": self.seed, "calls": counts.calls, "done": counts.done,
            "taken_back": counts.taken_back, "containers_run": self.runs,
            "rules": rules.collect::<Vec<_>>(), "broken": counts.quotes, "failures": failures.collect::<Vec<_>>(),
            "faults": faults.collect::<Vec<_>>(), "tools": counts.tools,
            "samples": self.samples.iter().map(Sample::to_json).collect::<Vec<_>>(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mib(kib: usize) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}
