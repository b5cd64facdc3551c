//! One file a command. The only place, with tests, where errors are `anyhow`: here they end as text for a person.

mod check;
mod dlq;
mod healthcheck;
pub(crate) mod inspect;
mod serve;
mod sql;

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use runtime::logging::LogFormat;

use crate::cli::{CheckCommand, Cli, Command, DlqCommand};
use crate::config::LogFormatName;

/// Runs what the command line asks for.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Command::Serve(args) = &cli.command {
        // It sets up logging itself, for its file may say how.
        return Box::pin(serve::run(args, &cli.log)).await;
    }
    let level = match &cli.command {
        Command::Agent(_) | Command::Loadgen(_) => "info",
        // Their output is for the terminal; a log line there would be in its way.
        _ => "warn",
    };
    init_logging(cli.log.level.as_deref().unwrap_or(level), cli.log.format.unwrap_or(LogFormatName::Logfmt))?;
    match cli.command {
        Command::Serve(_) => unreachable!("handled above"),
        Command::Check(CheckCommand::Config { files }) => check::config(&files),
        Command::Inspect(args) => inspect::run(&args).await.map(done),
        Command::Sql(args) => sql::run(args).await.map(done),
        Command::Agent(args) => Box::pin(crate::agent::run(args)).await.map(done),
        Command::Loadgen(args) => Box::pin(crate::loadgen::run(args)).await.map(done),
        Command::Healthcheck(args) => Ok(healthcheck::run(&args).await),
        Command::Dlq(DlqCommand::Replay(args)) => dlq::run(args).await.map(done),
        Command::Demo(args) => Box::pin(crate::demo::run(args)).await,
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "thermocline", &mut out);
            print(&String::from_utf8_lossy(&out))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn done(_: ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// Tells why a command failed, with its causes, and gives exit code 1.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    // Nothing else can be done when standard error is closed.
    drop(writeln!(std::io::stderr(), "thermocline: {error:#}"));
    ExitCode::FAILURE
}

/// Prints to standard output; a reader that has gone away (`| head`) is not an error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Libraries whose INFO is about their own insides; what rdkafka has to say comes by its callbacks.
const QUIET: &str =
    "buoyant_kernel=warn,deltalake_core=warn,datafusion=warn,h2=warn,hyper=warn,rdkafka=off,reqwest=warn,rustls=warn";

/// Sets up logging by a filter; a bare level leaves the libraries at WARN.
pub(crate) fn init_logging(level: &str, format: LogFormatName) -> anyhow::Result<()> {
    let format = match format {
        LogFormatName::Logfmt => LogFormat::Logfmt,
        LogFormatName::Json => LogFormat::Json,
    };
    runtime::logging::init(level, QUIET, format).map_err(anyhow::Error::msg)
}
