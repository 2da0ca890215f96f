//! The frame around each example program: its command line, and how it ends.
//!
//! Every program reads `OTEL_EXPORTER_OTLP_ENDPOINT`, takes `--count N` (tell the story N times)
//! and `--out DIR` where it writes files, exits 0 after all records were delivered, and 1 otherwise.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use tachograph::Guard;

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often the story is told.
    pub count: u32,
    /// Where files go.
    pub out: PathBuf,
    /// Words without `--`.
    pub words: Vec<String>,
}

impl Options {
    /// Reads the program's own command line.
    ///
    /// # Errors
    ///
    /// If it has an option that is not known, or a value that is missing or no number.
    pub fn from_command_line() -> Result<Self, String> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { count: 1, out: std::env::temp_dir().join("tachograph-examples"), words: Vec::new() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = |name: &str| arguments.next().ok_or_else(|| format!("{name} needs a value"));
            match argument.as_str() {
                "--count" => {
                    let text = value("--count")?;
                    options.count = text.parse().map_err(|_| format!("--count {text:?} is not a whole number"))?;
                }
                "--out" => options.out = PathBuf::from(value("--out")?),
                _ if argument.starts_with("--") => {
                    return Err(format!("{argument} is not known; this program takes --count N and --out DIR"));
                }
                _ => options.words.push(argument),
            }
        }
        Ok(options)
    }
}

/// Delivers what was recorded and turns the result into the program's exit code.
pub fn end(guard: Guard, story: Result<(), Box<dyn Error>>) -> ExitCode {
    let delivered = guard.shutdown();
    if let Err(error) = &story {
        eprintln!("error: {error}");
    }
    match delivered {
        Ok(report) => eprintln!("{} records delivered", report.exported),
        Err(lost) => eprintln!("error: {lost}"),
    }
    if story.is_ok() && delivered.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read() {
        let options = parse("analysis --count 3 --out here").expect("options");
        assert_eq!(options.count, 3);
        assert_eq!(options.out, PathBuf::from("here"));
        assert_eq!(options.words, ["analysis"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parse("--count many").expect_err("text").contains("\"many\""));
        assert!(parse("--count").expect_err("nothing").contains("--count"));
        assert!(parse("--fast").expect_err("unknown").contains("--fast"));
    }
}
