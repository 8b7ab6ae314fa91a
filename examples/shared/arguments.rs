//! The arguments of the examples: prints `--help`, and refuses unknown arguments.

use std::array;
use std::process::exit;

/// Parses the arguments of a usage such as `kms_tencent REGION KEY_ID [ENDPOINT]`: the required ones, and the
/// optional ones in brackets. If they do not match, prints the usage and ends the program.
pub fn arguments<const NEEDED: usize, const OPTIONAL: usize>(
    usage: &str,
) -> ([String; NEEDED], [Option<String>; OPTIONAL]) {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if given.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("usage: {usage}");
        exit(0);
    }
    let refuse = |problem: String| -> ! {
        eprintln!("error: {problem}\nusage: {usage}");
        exit(2);
    };
    if let Some(option) = given.iter().find(|argument| argument.starts_with('-')) {
        refuse(format!("there is no option {option}"));
    }
    if given.len() > NEEDED + OPTIONAL {
        refuse(format!("{} arguments are too many", given.len()));
    }
    let mut given = given.into_iter();
    let mut names = usage.split_whitespace().skip(1);
    let needed = array::from_fn(|_| {
        let name = names.next().unwrap_or("an argument");
        given.next().unwrap_or_else(|| refuse(format!("{name} is missing")))
    });
    (needed, array::from_fn(|_| given.next()))
}
