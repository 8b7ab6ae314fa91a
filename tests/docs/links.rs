//! Links in the documentation point to existing files and headings.

use std::fs;
use std::path::{Path, PathBuf};

/// Finds the Markdown files of the repository, without build folders.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_built = name.starts_with('.') || name == "target" || name == "node_modules";
        if path.is_dir() && !is_built && !path.is_symlink() {
            pages(&path, found);
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
}

/// Returns the text outside of code blocks.
fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

/// Returns the targets of inline links and of link definitions.
fn links(prose: &str) -> Vec<String> {
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let mut links: Vec<String> = inline.map(|(target, _)| target.to_owned()).collect();
    let definitions = prose.lines().filter(|line| line.starts_with('['));
    links.extend(definitions.filter_map(|line| Some(line.split_once("]: ")?.1.trim().to_owned())));
    links
}

/// Returns the anchor that GitHub generates for a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn has_anchor(page: &str, wanted: &str) -> bool {
    prose(page).lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == wanted)
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    pages(root, &mut found);
    let (mut dead, mut checked) = (Vec::new(), 0);
    for path in &found {
        let page = fs::read_to_string(path).unwrap();
        let shown = path.strip_prefix(root).unwrap().display();
        for link in links(&prose(&page)) {
            // The crates are not published, so there are no pages about them; and their READMEs are
            // also pages of rustdoc, from which no path leads into the repository.
            let unpublished =
                link.contains("docs.rs/wxpay") || link.contains("crates.io/crates/wxpay");
            let out_of_rustdoc = path.starts_with(root.join("crates"))
                && path.ends_with("README.md")
                && link.starts_with("../../");
            if unpublished || out_of_rustdoc {
                dead.push(format!("{shown}: {link}"));
                continue;
            }
            // Rustdoc checks the names of items.
            if link.contains("://") || link.contains("::") || link.starts_with("crate#") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            let is_there = target.exists()
                && (heading.is_empty()
                    || target.is_dir()
                    || has_anchor(&fs::read_to_string(&target).unwrap(), heading));
            checked += 1;
            if !is_there {
                dead.push(format!("{shown}: {link}"));
            }
        }
    }
    assert!(checked > 50, "{checked} links in {} files", found.len());
    assert_eq!(dead, Vec::<String>::new());
}

#[test]
fn headings_have_the_names_that_github_gives_them() {
    assert_eq!(anchor("## When a call is sent again"), "when-a-call-is-sent-again");
    assert_eq!(anchor("## 私钥在 HSM（加密机）中"), "私钥在-hsm加密机中");
    assert_eq!(links("see [a](b.md#c), [`d`](e)\n[f]: g.md\n"), ["b.md#c", "e", "g.md"]);
    assert!(!has_anchor("# A\n```\n# B\n```\n", "b"), "that is code");
}
