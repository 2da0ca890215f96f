//! `tachograph close`

use std::path::PathBuf;

use anyhow::bail;
use serde_json::json;
use tachograph_collector::closing;
use tachograph_collector::config::DEFAULT_DATA;
use tachograph_collector::control::Client;
use tachograph_collector::data_dir::DataDir;

use super::{Exit, output};

/// Close a ledger for good: it takes no more records, says so in its last statement about senders, and another ledger goes on with
/// `tachograph init --continues`. Senders are told to come back. It can't be undone. A collector must be running.
#[derive(clap::Args)]
pub(super) struct Close {
    /// The data directory
    #[arg(env = "TACHOGRAPH_DATA", value_name = "DIR", default_value = DEFAULT_DATA)]
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Close {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let data_dir = DataDir::open(&self.dir)?;
        let closed = match closing::archived(&data_dir)? {
            Some(closed) => {
                eprintln!("{} was closed already", data_dir.ledger());
                closed
            }
            None => {
                Client::new(&self.dir).close_ledger()?;
                match closing::archived(&data_dir)? {
                    Some(closed) => closed,
                    None => bail!("the ledger is closed, but its archive does not say so yet: run this again"),
                }
            }
        };
        let (ledger, dir) = (data_dir.ledger(), self.dir.display());
        if self.json {
            output::json(&json!({
                "ledger": ledger.as_str(), "record": closed.statement, "size": closed.size, "checkpoint": closed.checkpoint,
            }));
        } else {
            output::line(&format!(
                "Ledger {ledger} is closed with record {}, and takes no more records. The checkpoint over its {} records:\n\n{}\n\
                 Next: tachograph init NEWDIR --name NEW --continues {dir}, then tachograph run --data NEWDIR.\n\
                 A collector on {dir} need run only for what is still to be archived, witnessed, time-stamped or destroyed.",
                closed.statement, closed.size, closed.checkpoint
            ));
        }
        Ok(Exit::Done)
    }
}
