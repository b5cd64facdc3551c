//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Durability, LogFormatName, Overrides};

const EXAMPLES: &str = "\
Examples:
  thermocline serve                              everything in ./data, on http://127.0.0.1:9464
  thermocline serve --config thermocline.yml
  thermocline agent --server http://127.0.0.1:9464 --every 1s --push 10s
  thermocline sql \"SELECT metric, count(*) FROM samples GROUP BY metric\"
  thermocline demo                               a fresh server with three days of data, and four questions

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// A tiered metrics store: raw points in RocksDB, rollups, and an open archive in Delta Lake.
#[derive(Debug, Parser)]
#[command(name = "thermocline", version, about, after_help = EXAMPLES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// Level, or a filter such as `info,thermocline_hot=debug` [default: info]
    #[arg(id = "log.level", long = "log.level", env = "THERMOCLINE_LOG_LEVEL", global = true, value_name = "FILTER")]
    pub(crate) level: Option<String>,
    /// How log lines look [default: logfmt]
    #[arg(
        id = "log.format",
        long = "log.format",
        env = "THERMOCLINE_LOG_FORMAT",
        global = true,
        value_enum,
        value_name = "FORMAT"
    )]
    pub(crate) format: Option<LogFormatName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Check files without running anything
    #[command(subcommand)]
    Check(CheckCommand),
    /// Show what is in a data directory of a stopped server
    Inspect(InspectArgs),
    /// Run one SQL query on a server
    Sql(SqlArgs),
    /// Push the metrics of this host to a server
    Agent(crate::agent::AgentArgs),
    /// Push made-up metrics to a server, as fast as it takes them or at a rate
    Loadgen(crate::loadgen::LoadgenArgs),
    /// Messages of Kafka that could not be read
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Exit 0 if a server is ready, 1 if not (for containers)
    Healthcheck(HealthcheckArgs),
    /// Show how it works: a fresh server, three past days of 50 hosts, and four questions
    Demo(DemoArgs),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  thermocline completions bash > /etc/bash_completion.d/thermocline")]
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

const SERVE_EXAMPLES: &str = "\
Examples:
  thermocline serve
  thermocline serve --config /etc/thermocline.yml
  thermocline serve --data-dir /var/lib/thermocline --listen 0.0.0.0:9464
  thermocline serve --object-store s3://metrics/prod   (options of the store go into the file)
  thermocline serve --config thermocline.yml --recover-from-archive   after the disk was lost

Flags win over THERMOCLINE_… variables, those over the file. SIGHUP or POST /-/reload reads the file again;
SIGTERM or Ctrl-C stops: intake first, then a flush, then exit 0.";

#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArgs {
    /// YAML file; not needed, for every key has a default
    #[arg(long, env = "THERMOCLINE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept that is not in the object store [default: ./data]
    #[arg(long, env = "THERMOCLINE_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address of the HTTP listener; port 0 takes a free one and logs it [default: 127.0.0.1:9464]
    #[arg(long, env = "THERMOCLINE_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Path or URL of the cold tier: a directory, `file:///abs`, `s3://bucket/prefix` [default: DATA_DIR/cold]
    #[arg(long, env = "THERMOCLINE_OBJECT_STORE", value_name = "URL")]
    pub(crate) object_store: Option<String>,
    /// When a point is acknowledged [default: normal]
    #[arg(long, env = "THERMOCLINE_DURABILITY", value_enum, value_name = "MODE")]
    pub(crate) durability: Option<DurabilityName>,
    /// Where the data directory is lost or empty, begin with what the archive has of this `node`, and read again from Kafka
    /// what it has not
    #[arg(long)]
    pub(crate) recover_from_archive: bool,
}

/// Words for [`Durability`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityName {
    /// In the write-ahead log: survives kill -9
    Normal,
    /// On the disk: survives a power loss
    Sync,
}

impl ServeArgs {
    /// What flags and environment say over the file.
    pub(crate) fn overrides(&self, log: &LogArgs) -> Overrides {
        Overrides {
            data_dir: self.data_dir.clone(),
            listen: self.listen,
            object_store: self.object_store.clone(),
            durability: self.durability.map(|name| match name {
                DurabilityName::Normal => Durability::Normal,
                DurabilityName::Sync => Durability::Sync,
            }),
            log_level: log.level.clone(),
            log_format: log.format,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum CheckCommand {
    /// Read a configuration file and say whether a server would take it
    #[command(
        after_help = "Example:\n  thermocline check config thermocline.yml   prints `thermocline.yml: OK`, or errors with their lines and exits 1"
    )]
    Config {
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  thermocline inspect ./data\n  thermocline inspect ./data --json")]
pub(crate) struct InspectArgs {
    /// The data directory (what `serve --data-dir` was given)
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    Table,
    Csv,
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  thermocline sql \"SELECT * FROM series LIMIT 10\"
  thermocline sql --format csv \"SELECT ts, value FROM samples WHERE metric = 'cpu_usage'\" > cpu.csv
  echo \"EXPLAIN SELECT count(*) FROM samples\" | thermocline sql")]
pub(crate) struct SqlArgs {
    /// The query; read from standard input when it is not given
    #[arg(value_name = "QUERY")]
    pub(crate) query: Option<String>,
    #[arg(long, env = "THERMOCLINE_SERVER", default_value = "http://127.0.0.1:9464", value_name = "URL")]
    pub(crate) server: String,
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: RowFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Send dead letters back to the topic that they came from, for a server to read them again
    #[command(after_help = "\
Examples:
  thermocline dlq replay --config thermocline.yml --dry-run metrics-raw   says how many there are
  thermocline dlq replay --config thermocline.yml metrics-raw
  thermocline dlq replay --brokers 127.0.0.1:9092 --to metrics-mended --limit 100 metrics-raw

What was replayed is remembered by the group, so that a second replay goes on where the first one ended. A letter that
still cannot be read becomes a dead letter again.")]
    Replay(DlqReplayArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DlqReplayArgs {
    /// The topic whose dead letters they are: metrics-raw, not metrics-raw.dlq
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: String,
    /// The server's configuration: brokers, TLS and SASL
    #[arg(long, env = "THERMOCLINE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Brokers, where the configuration has none or others
    #[arg(long, value_name = "HOST:PORT,…")]
    pub(crate) brokers: Option<String>,
    /// Where they go [default: the topic that each came from]
    #[arg(long, value_name = "TOPIC")]
    pub(crate) to: Option<String>,
    /// Remembers how far replays have come
    #[arg(long, default_value = "thermocline-dlq-replay", value_name = "GROUP")]
    pub(crate) group: String,
    /// Letters at most
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Count them only
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  thermocline healthcheck --server http://127.0.0.1:9464")]
pub(crate) struct HealthcheckArgs {
    #[arg(long, env = "THERMOCLINE_SERVER", default_value = "http://127.0.0.1:9464", value_name = "URL")]
    pub(crate) server: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thermocline demo          stays up until Ctrl-C\n  thermocline demo --once   exits after the questions: 0, or 1 if an answer is wrong"
)]
pub(crate) struct DemoArgs {
    /// Exit after the questions
    #[arg(long, env = "DEMO_ONCE", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) once: bool,
    /// Directory for the server's data, emptied first [default: a new one under the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:9464", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_is_golden() {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/cli"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        let mut command = Cli::command().term_width(100);
        command.build();
        let helps = command.get_subcommands_mut().map(|c| (c.get_name().to_owned(), c.render_long_help().to_string()));
        let helps: Vec<(String, String)> = helps.collect();
        settings.bind(|| insta::assert_snapshot!("thermocline", command.render_long_help().to_string()));
        for (name, help) in helps.into_iter().filter(|(name, _)| name != "help") {
            settings.bind(|| insta::assert_snapshot!(name, help));
        }
    }

    #[test]
    fn every_command_has_an_example_or_needs_none() {
        for command in Cli::command().get_subcommands() {
            let has = command.get_after_help().is_some() || command.get_subcommands().next().is_some();
            assert!(has, "{} lacks an example", command.get_name());
        }
    }

    #[test]
    fn flags_become_overrides() {
        let cli = Cli::parse_from(["thermocline", "serve", "--listen", "127.0.0.1:0", "--log.level", "debug"]);
        let Command::Serve(args) = &cli.command else { panic!("serve was asked for") };
        let overrides = args.overrides(&cli.log);
        assert_eq!(overrides.listen.map(|address| address.port()), Some(0));
        assert_eq!(overrides.log_level.as_deref(), Some("debug"));
    }
}
