//! The README in both languages shows the same code and the same commands.

const ENGLISH: &str = include_str!("../README.md");
const CHINESE: &str = include_str!("../README.zh-CN.md");

/// Returns the code blocks, and the shape of the tables.
fn code_and_tables(readme: &str) -> (Vec<String>, Vec<usize>) {
    let code = readme.split("```").skip(1).step_by(2).map(str::to_owned).collect();
    let rows = readme.lines().filter(|line| line.starts_with('|'));
    (code, rows.map(|row| row.matches('|').count()).collect())
}

#[test]
fn both_languages_show_the_same_code_and_tables() {
    let (english, chinese) = (code_and_tables(ENGLISH), code_and_tables(CHINESE));
    assert!(english.0.len() >= 4, "{} code blocks", english.0.len());
    assert_eq!(english.0, chinese.0);
    assert_eq!(english.1, chinese.1);
}

#[test]
fn the_quick_start_is_short() {
    let quick_start = code_and_tables(ENGLISH).0.into_iter().find(|code| code.starts_with("rust"));
    let lines = quick_start.expect("code").lines().filter(|line| !line.trim().is_empty()).count();
    // The first line names the language.
    assert!(lines - 1 <= 16, "{lines}");
}
