//! The arguments of the examples: `--help` is answered, and what is not known is refused.

use std::array;
use std::process::exit;

/// Reads the arguments that a usage names, `kms_tencent REGION KEY_ID [ENDPOINT]`, say: those that are
/// needed, and those in brackets that are not. Prints the usage and ends the program where they are others.
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
