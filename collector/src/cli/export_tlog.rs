//! `tachograph export-tlog`

use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;
use tachograph_collector::place::Place;
use tachograph_collector::view::View;
use tachograph_exporters::archive::tiles::export;
use tachograph_exporters::archive::tree::TreeReader;

use super::{Exit, output};

/// Write the ledger in the layout of transparency logs (C2SP tlog-tiles: checkpoint, tiles, entry bundles), for any program that reads
/// and audits those. The entries are the leaves, without personal data. Again into the same directory brings it up to date.
#[derive(clap::Args)]
pub(super) struct ExportTlog {
    /// A data directory, or an archive: a directory, or s3://bucket/prefix?endpoint=…&region=…
    place: String,
    /// Where the files go: a directory that any web server can serve
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Print JSON: `size`, `root`, `files`
    #[arg(long)]
    json: bool,
}

impl ExportTlog {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let view = View::open(&Place::parse(&self.place)?)?;
        let archive = view.archive.context("nothing is archived here yet: there is no tree to export")?;
        let exported = export(&archive, &TreeReader::of(&archive), &self.output)?;
        if self.json {
            let size = exported.size.to_string();
            output::json(&json!({ "size": size, "root": exported.root.to_hex(), "files": exported.files }));
        } else {
            output::line(&format!(
                "{}: {} leaves, root {}, {} files of tiles and entries",
                self.output.display(),
                exported.size,
                exported.root,
                exported.files
            ));
        }
        Ok(Exit::Done)
    }
}
