//! The README and the guides show the same code, commands and tables in both languages.

const ENGLISH: &str = include_str!("../../README.md");
const CHINESE: &str = include_str!("../../README.zh-CN.md");

/// Each guide in English and in Chinese.
const GUIDES: [(&str, &str); 4] = [
    (
        include_str!("../../docs/delivery-plans.md"),
        include_str!("../../docs/delivery-plans.zh-CN.md"),
    ),
    (include_str!("../../docs/hsm.md"), include_str!("../../docs/hsm.zh-CN.md")),
    (include_str!("../../docs/kms.md"), include_str!("../../docs/kms.zh-CN.md")),
    (include_str!("../../docs/performance.md"), include_str!("../../docs/performance.zh-CN.md")),
];

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
fn the_guides_show_the_same_code_tables_and_sections_in_both_languages() {
    for (english, chinese) in GUIDES {
        let title = english.lines().next().unwrap();
        let (one, other) = (code_and_tables(english), code_and_tables(chinese));
        assert_eq!(one.0, other.0, "{title}");
        assert_eq!(one.1, other.1, "{title}");
        let sections = |guide: &str| guide.lines().filter(|line| line.starts_with("## ")).count();
        assert_eq!(sections(english), sections(chinese), "{title}");
    }
}

#[test]
fn the_quick_start_is_short() {
    let quick_start = code_and_tables(ENGLISH).0.into_iter().find(|code| code.starts_with("rust"));
    let lines = quick_start.expect("code").lines().filter(|line| !line.trim().is_empty()).count();
    // The first line names the language.
    assert!(lines - 1 <= 16, "{lines}");
}
