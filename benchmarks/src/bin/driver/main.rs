//! Measures everything and writes the report; `benchmarks/run` starts it.

mod against;
mod chart;
mod comparison_chart;
mod growth_against;
mod machine;
mod measure;
mod options;
mod peers;
mod program;
mod ratio_chart;
mod report;
mod server;
mod tables;

use std::process::ExitCode;
use std::time::Instant;

use wxpay_benchmarks::Result;

use machine::Machine;
use options::{HELP, Options, Part};
use report::Report;
use server::Server;

fn main() -> Result<ExitCode> {
    let Some(options) = Options::read(std::env::args().skip(1))? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let start = Instant::now();
    let mut report = Report::new(Machine::here(), options.quick);
    let mut server = Server::start()?;
    if let Some(other) = &options.against {
        report.against = against::against(&options, &server, other)?;
        if options.parts.contains(&Part::Growth) {
            report.growth_against = growth_against::growth(&options, &server, other)?;
        }
        report.server.push(server.counts()?);
    } else {
        for part in &options.parts {
            measure(*part, &options, &mut server, &mut report)?;
        }
    }
    report.seconds = start.elapsed().as_secs_f64();
    report.write(&options.out)?;
    eprintln!("the report is in {}", options.out.display());
    let wrong = report.wrong();
    for what in &wrong {
        eprintln!("WRONG: {what}");
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(part: Part, options: &Options, server: &mut Server, report: &mut Report) -> Result<()> {
    match part {
        Part::Turns => {
            for signing in &options.signing {
                if let Err(why) = signing.is_here() {
                    report.notes.push(format!("{signing} is left out: {why}"));
                }
            }
            report.turns = measure::turns(options, server)?;
        }
        Part::Memory => report.memory = measure::memory(options, server)?,
        Part::ColdStart => report.cold_start = measure::cold_start(options, server)?,
        Part::Growth => report.growth = measure::growth(options, server)?,
        Part::Peers => report.peers = peers::peers(options, server, &mut report.notes)?,
    }
    // The peers' requests are counted in each turn.
    if part != Part::Peers {
        report.server.push(server.counts()?);
    }
    Ok(())
}
