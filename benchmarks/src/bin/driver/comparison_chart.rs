//! A chart of all clients: calls per second and processor time, with one caller and with 32.

use std::fmt::Write;

use wxpay_benchmarks::figures::Figures;

use crate::chart::{escaped, svg};
use crate::peers::Standing;

const ROW: u32 = 20;
const LEFT: f64 = 230.0;
const COLUMN_WIDTH: f64 = 210.0;
const COLUMNS: [&str; 2] =
    ["calls a second (more is better)", "CPU s / 1,000 calls (less is better)"];

pub(crate) fn draw(all: &[Standing]) -> String {
    let (mut content, mut y) = (String::new(), 50);
    for callers in [1, 32] {
        let mut some: Vec<_> = all.iter().filter(|standing| standing.callers == callers).collect();
        let rate = |standing: &Standing| value(standing, 0);
        some.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
        let who = if callers == 1 { "one caller".to_owned() } else { format!("{callers} callers") };
        let _ = writeln!(content, r#"<text x="16" y="{y}" class="faint">{who}</text>"#);
        for (left, name) in [LEFT, LEFT + COLUMN_WIDTH + 100.0].into_iter().zip(COLUMNS) {
            let _ = writeln!(content, r#"<text x="{left}" y="{y}" class="faint">{name}</text>"#);
        }
        y += 10;
        let most = [0, 1].map(|column| {
            some.iter().map(|standing| value(standing, column)).fold(f64::MIN_POSITIVE, f64::max)
        });
        for standing in some {
            row(&mut content, standing, y, most);
            y += ROW;
        }
        y += 30;
    }
    svg("This SDK beside other people's clients", y, &content)
}

fn row(content: &mut String, standing: &Standing, y: u32, most: [f64; 2]) {
    let peer = &standing.peer;
    let class = match (standing.is_ours(), peer.name.starts_with("this SDK")) {
        (true, true) => "sdk",
        (true, false) => "floor",
        (false, _) => "other",
    };
    let failed = standing.rounds.iter().any(|round| round.figures.failed > 0);
    let mark = if failed { " (calls failed)" } else { "" };
    let name = if class == "other" {
        format!("{} {}", peer.name, peer.version)
    } else {
        peer.name.clone()
    };
    let text = y + 14;
    let _ = writeln!(content, r#"<text x="16" y="{text}">{}{mark}</text>"#, escaped(&name));
    for (column, most) in most.into_iter().enumerate() {
        let value = value(standing, column);
        let left = if column == 0 { LEFT } else { LEFT + COLUMN_WIDTH + 100.0 };
        let width = value / most * COLUMN_WIDTH;
        let label = if column == 0 { format!("{value:.0}") } else { format!("{value:.2}") };
        let _ = writeln!(
            content,
            r#"<rect class="{class}" x="{left}" y="{}" width="{width:.1}" height="13" stroke="none"/><text x="{:.1}" y="{text}">{label}</text>"#,
            y + 3,
            left + width + 6.0
        );
    }
}

fn value(standing: &Standing, column: usize) -> f64 {
    let of = if column == 0 { Figures::calls_per_second } else { Figures::cpu_per_1000 };
    standing.spread(|round| of(&round.figures)).median
}
