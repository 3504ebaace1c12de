//! Commands, one a line on standard input: `mark NAME`, `wake`, `report`, `quit`.
//!
//! A thread of its own reads them. End of input is `quit`, so that a generator never outlives whoever started it.

use std::io::BufRead;

use tokio::sync::mpsc::UnboundedSender;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Begin a new measurement window.
    Mark(String),
    /// Idle flows speak once.
    Wake,
    /// Print a report as one line of JSON.
    Report {
        detail: bool,
    },
    Quit,
}

impl Command {
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let command = match (words.next()?, words.next()) {
            ("mark", Some(name)) => Self::Mark(name.to_owned()),
            ("wake", None) => Self::Wake,
            ("report", None) => Self::Report { detail: false },
            ("report", Some("detail")) => Self::Report { detail: true },
            ("quit", None) => Self::Quit,
            _ => return None,
        };
        words.next().is_none().then_some(command)
    }
}

/// Starts the reader. Lines that are no command are named on standard error and skipped.
pub fn read_stdin(commands: UnboundedSender<Command>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            match Command::parse(&line) {
                Some(command) => {
                    if commands.send(command).is_err() {
                        return;
                    }
                }
                None => eprintln!("traffic: not a command: {line:?}"),
            }
        }
        let _ = commands.send(Command::Quit);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_parse_and_anything_else_does_not() {
        assert_eq!(
            Command::parse(" mark  cut \n"),
            Some(Command::Mark("cut".to_owned()))
        );
        assert_eq!(Command::parse("report"), Some(Command::Report { detail: false }));
        assert_eq!(
            Command::parse("report detail"),
            Some(Command::Report { detail: true })
        );
        assert_eq!(Command::parse("wake"), Some(Command::Wake));
        assert_eq!(Command::parse("quit"), Some(Command::Quit));
        for wrong in ["", "mark", "mark a b", "report all", "stop", "wake up"] {
            assert_eq!(Command::parse(wrong), None, "{wrong:?}");
        }
    }
}
