//! Lines of CSV (RFC 4180) that a spreadsheet does not take for formulas.

use std::io::{self, Write};

/// Writes a line. A field that a spreadsheet would take for a formula gets an apostrophe in front.
pub(super) fn write_line<'f>(
    writer: &mut impl Write,
    fields: impl IntoIterator<Item = &'f str>,
) -> io::Result<()> {
    for (n, field) in fields.into_iter().enumerate() {
        if n > 0 {
            writer.write_all(b",")?;
        }
        write_field(writer, field)?;
    }
    writer.write_all(b"\r\n")
}

fn write_field(writer: &mut impl Write, field: &str) -> io::Result<()> {
    let is_formula = field.starts_with(|c| FORMULA.contains(&c));
    let is_plain = !field.contains(['"', ',', '\r', '\n']);
    if is_plain && !is_formula {
        return writer.write_all(field.as_bytes());
    }
    let apostrophe = if is_formula { "'" } else { "" };
    write!(writer, "\"{apostrophe}{}\"", field.replace('"', "\"\""))
}

/// What a formula begins with. Spreadsheets take the full-width forms for the others.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &[&str]) -> String {
        let mut line = Vec::new();
        write_line(&mut line, fields.iter().copied()).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn fields_are_quoted_if_they_must_be() {
        assert_eq!(line(&["a", "", "计划 1"]), "a,,计划 1\r\n");
        assert_eq!(
            line(&["a,b", "say \"no\"", "x\r\ny"]),
            "\"a,b\",\"say \"\"no\"\"\",\"x\r\ny\"\r\n"
        );
    }

    #[test]
    fn nothing_is_a_formula() {
        for begin in FORMULA {
            let field = format!("{begin}HYPERLINK(\"https://a.example\")");
            let line = line(&[&field]);
            assert!(line.starts_with("\"'"), "{line:?}");
            assert!(line.contains(begin), "{line:?}");
        }
        assert_eq!(line(&["1=2", "a-b"]), "1=2,a-b\r\n");
    }
}
