//! Command line of the traffic generator.

use std::process::ExitCode;

use clap::Parser;
use traffic::{flows, probe, serve};

/// Traffic whose every byte is verified.
#[derive(Parser)]
#[command(version)]
enum Arguments {
    /// Backend: verified TCP flows and a stamped UDP echo.
    Serve(serve::Options),
    /// Long-lived TCP flows; commands on standard input: mark NAME, wake, report [detail], quit.
    Flows(flows::Options),
    /// UDP probe at a fixed rate; commands on standard input: mark NAME, report, quit.
    Probe(probe::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse() {
        Arguments::Serve(options) => serve::run(&options).map_err(|error| error.to_string()),
        Arguments::Flows(options) => flows::run(&options).map_err(|error| error.to_string()),
        Arguments::Probe(options) => probe::run(&options).map_err(|error| error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("traffic: {error}");
            ExitCode::FAILURE
        }
    }
}
