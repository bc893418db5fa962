//! `tools`: what an agent could call, and what it would need.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::Screen;
use crate::{
    error::Result,
    gateway::{Gateway, catalogue::Entry},
    tool::{Permission, Program, text::first_sentence},
};

/// What `tools` takes.
#[derive(Args)]
pub(super) struct Tools {
    /// Those too that no client is shown, for lack of a toolset, of a host that allows them or of a program
    #[arg(long)]
    all: bool,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    toolset: &'static str,
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mildest: Option<&'static str>,
    permissions: Vec<&'static str>,
    title: String,
    about: String,
    /// The program of this machine that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    /// Whether that is not installed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    missing: bool,
    listed: bool,
}

impl Tools {
    pub(super) fn run(&self, gateway: &Gateway, screen: &Screen, json: bool) -> Result<ExitCode> {
        let listed: Vec<&str> = gateway.catalogue().listed().map(|entry| entry.card.name).collect();
        let rows: Vec<Row> = gateway
            .catalogue()
            .entries()
            .map(|entry| {
                let is_missing = gateway.catalogue().missing(&entry.card).is_some();
                Row::new(entry, is_missing, listed.contains(&entry.card.name))
            })
            .filter(|row| self.all || row.listed)
            .collect();
        if json {
            screen.print_json(&rows)?;
        } else {
            let hidden = gateway.catalogue().entries().count() - rows.len();
            let cells: Vec<_> = rows.into_iter().map(|row| row.cells(self.all)).collect();
            let head: &[&str] = &["TOOL", "TOOLSET", "EFFECT", "PERMISSIONS", "LISTED", "WHAT IT DOES"];
            let head: Vec<&str> = head.iter().copied().filter(|title| self.all || *title != "LISTED").collect();
            let mut lines = vec![screen.table(&head, &cells)];
            if hidden > 0 {
                lines.push(format!("{hidden} more are not listed: --all shows them, --toolsets lists them"));
            }
            screen.print(&lines.join("\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Row {
    fn new(entry: &Entry, missing: bool, listed: bool) -> Self {
        let access = entry.card.access;
        Self {
            name: entry.card.name,
            toolset: entry.toolset,
            effect: access.effect.as_str(),
            mildest: (access.mildest != access.effect).then_some(access.mildest.as_str()),
            permissions: access.at_most.iter().map(Permission::as_str).collect(),
            title: entry.card.title.clone(),
            about: first_sentence(entry.card.about()).to_owned(),
            program: entry.card.program.map(Program::command),
            missing,
            listed,
        }
    }

    fn cells(self, all: bool) -> Vec<super::screen::Cell> {
        let effect = match self.mildest {
            Some(mildest) => format!("{} [{mildest}]", self.effect),
            None => self.effect.to_owned(),
        };
        let mut cells = vec![self.name.into(), self.toolset.into(), effect.into(), self.permissions.join(", ").into()];
        if all {
            cells.push(match self.program {
                Some(program) if self.missing => format!("no: {program} is missing").into(),
                _ => if self.listed { "yes" } else { "no" }.into(),
            });
        }
        cells.push(self.about.into());
        cells
    }
}
