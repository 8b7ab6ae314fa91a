//! The options of the driver.

use std::path::PathBuf;

use wxpay_benchmarks::Result;
use wxpay_benchmarks::signing::Signing;

pub(crate) const HELP: &str = "\
benchmarks/run [--quick] [--out DIR] [--only PARTS] [--over HOW] [--signing WITH] [--callers N] [--against COMMIT]

  --quick     a short run: it shows that everything works, and its figures say little
  --out       where the report goes; benchmarks/out is the default
  --only      some of turns,memory,cold-start,growth,peers
  --over      some of plain,tls,tls+roots,nothing
              for the turns; tls+roots: with the platform's roots; nothing: signatures that are not sent
  --signing   some of ring,aws-lc-rs,softhsm,vault
              for the turns
  --callers   some numbers, 1,8,32,256         for the turns
  --against   nothing but the SDK of this tree beside that of another commit: turns, memory, cold-start and growth
";

/// The parts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Turns,
    Memory,
    ColdStart,
    Growth,
    Peers,
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) out: PathBuf,
    pub(crate) parts: Vec<Part>,
    pub(crate) over: Vec<String>,
    pub(crate) signing: Vec<Signing>,
    pub(crate) callers: Vec<usize>,
    pub(crate) against: Option<Against>,
}

/// Another commit of this repository, whose `contender` is built.
#[derive(Debug, Clone)]
pub(crate) struct Against {
    pub(crate) commit: String,
    pub(crate) program: PathBuf,
}

impl Options {
    /// Parses the arguments; `None` if help was requested.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self {
            quick: false,
            out: concat!(env!("CARGO_MANIFEST_DIR"), "/out").into(),
            parts: [Part::Turns, Part::Memory, Part::ColdStart, Part::Growth, Part::Peers].into(),
            over: ["plain", "tls"].map(ToOwned::to_owned).into(),
            signing: Signing::ALL.into(),
            callers: [1, 8, 32, 256].into(),
            against: None,
        };
        while let Some(name) = arguments.next() {
            if name == "--quick" {
                options.quick = true;
                continue;
            }
            if name == "--help" {
                return Ok(None);
            }
            let value = arguments.next().ok_or_else(|| format!("{name}: what?\n{HELP}"))?;
            let list = value.split(',');
            match name.as_str() {
                // Written by `run`, which builds the program.
                "--against" => {
                    let (commit, program) =
                        value.split_once('=').ok_or("--against: start it with benchmarks/run")?;
                    let (commit, program) = (commit.to_owned(), program.into());
                    options.against = Some(Against { commit, program });
                }
                "--out" => options.out = value.into(),
                "--only" => options.parts = list.map(part).collect::<Result<_>>()?,
                "--over" => options.over = list.map(over).collect::<Result<_>>()?,
                "--signing" => {
                    options.signing =
                        list.map(str::parse).collect::<std::result::Result<_, _>>()?;
                }
                "--callers" => {
                    options.callers =
                        list.map(str::parse).collect::<std::result::Result<_, _>>()?;
                }
                other => return Err(format!("there is no {other}\n{HELP}").into()),
            }
        }
        Ok(Some(options))
    }
}

fn part(name: &str) -> Result<Part> {
    Ok(match name {
        "turns" => Part::Turns,
        "memory" => Part::Memory,
        "cold-start" => Part::ColdStart,
        "growth" => Part::Growth,
        "peers" => Part::Peers,
        other => return Err(format!("there is no part {other}\n{HELP}").into()),
    })
}

fn over(name: &str) -> Result<String> {
    match name {
        "nothing" | "plain" | "tls" | "tls+roots" => Ok(name.to_owned()),
        other => Err(format!("nothing is sent over {other}\n{HELP}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Options>> {
        Options::read(line.split_whitespace().map(ToOwned::to_owned))
    }

    #[test]
    fn what_is_asked_for_is_done_and_nothing_is_guessed() {
        let options = read("--quick --only turns,peers --signing softhsm --callers 1,32");
        let options = options.unwrap().unwrap();
        assert!(options.quick);
        assert_eq!(options.parts, [Part::Turns, Part::Peers]);
        assert_eq!((options.signing, options.callers), (vec![Signing::SoftHsm], vec![1, 32]));
        assert_eq!(options.over, ["plain", "tls"]);
        let against = read("--against cac1359=/tmp/contender").unwrap().unwrap().against.unwrap();
        assert_eq!(against.commit, "cac1359");
        assert_eq!(against.program, PathBuf::from("/tmp/contender"));
        assert!(read("--help").unwrap().is_none());
        for wrong in [
            "--only",
            "--only all",
            "--over udp",
            "--signing rsa",
            "--callers x",
            "-q 1",
            "--against cac1359",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
