//! `lab`: brings labs up and down, runs commands in their nodes, tests them.
//!
//! Two hidden commands are started by the library: `node-init` (first process of a node) and `wire`
//! (the relay); both fork and therefore run before any thread exists.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use labs::{Lab, Result, Running};

#[derive(Parser)]
#[command(name = "lab", about = "Runs containerlab topologies with network namespaces")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring a lab up and leave it up
    Up { name: PathBuf },
    /// Remove everything of a lab, also after a crash
    Down { name: PathBuf },
    /// Run a command in a node of a lab that is up
    Exec {
        name: PathBuf,
        node: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Bring a lab up, check what is expected of it, take it down
    Test {
        #[arg(required = true)]
        names: Vec<PathBuf>,
        /// Leave it up afterwards
        #[arg(long)]
        keep: bool,
        /// Try all steps, also those behind one that does not hold
        #[arg(long)]
        all: bool,
    },
    /// Take the MASTER's power away under load, let it return, drain it; measure and draw what happens
    Failover(labs::failover::Options),
    /// Write the diagnostics of a lab that is up
    Diagnose { name: PathBuf },
    /// Name all labs
    List,
    /// Check the files of labs (all if none is named) without root
    Validate { names: Vec<PathBuf> },
    #[command(hide = true)]
    NodeInit,
    #[command(hide = true)]
    Wire {
        #[arg(long)]
        netns: PathBuf,
        #[arg(long)]
        folder: PathBuf,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        links: usize,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up { name } => {
            let begin = Instant::now();
            let mut running = Running::up(&Lab::load(name)?)?;
            running.keep();
            eprintln!(
                "lab {} is up ({:.1} s)",
                running.lab().name(),
                begin.elapsed().as_secs_f64()
            );
        }
        Command::Down { name } => labs::down(&Lab::load(name)?)?,
        Command::Exec { name, node, command } => return exec(&name, &node, &command),
        Command::Test { names, keep, all } => {
            for name in names {
                test(&name, keep, all)?;
            }
        }
        Command::Failover(options) => {
            if !labs::failover::run(&options)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Diagnose { name } => {
            let folder = Running::attach(&Lab::load(name)?)?.diagnose()?;
            println!("{}", folder.display());
        }
        Command::List => {
            for file in labs::list()? {
                let lab = Lab::load(file)?;
                println!("{:<16} {}", lab.name(), lab.settings.summary);
            }
        }
        Command::Validate { names } => validate(names)?,
        Command::NodeInit => labs::init::main()?,
        Command::Wire {
            netns,
            folder,
            seed,
            links,
        } => labs::wire::relay::main(&netns, &folder, seed, links)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Passes the standard streams and the exit status through.
fn exec(name: &std::path::Path, node: &str, words: &[String]) -> Result<ExitCode> {
    let running = Running::attach(&Lab::load(name)?)?;
    let Some((program, arguments)) = words.split_first() else {
        return Ok(ExitCode::FAILURE);
    };
    let status = running
        .node(node)?
        .command(program)
        .args(arguments)
        .stdin(std::process::Stdio::inherit())
        .status()
        .map_err(|source| labs::Error::Io {
            what: program.clone(),
            source,
        })?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

fn test(name: &std::path::Path, keep: bool, all: bool) -> Result<()> {
    let lab = Lab::load(name)?;
    let begin = Instant::now();
    labs::test(&lab, keep, all)?;
    eprintln!("lab {}: ok ({:.1} s)", lab.name(), begin.elapsed().as_secs_f64());
    Ok(())
}

fn validate(names: Vec<PathBuf>) -> Result<()> {
    let names = if names.is_empty() { labs::list()? } else { names };
    for name in names {
        let lab = Lab::load(name)?;
        println!("{}: ok", lab.topology.path.display());
    }
    Ok(())
}
