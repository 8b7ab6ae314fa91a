//! Log events. The application's subscriber runs when one is written; its panics are caught.

pub(crate) use wxpay_auth::internal::log::{SUBSCRIBER, debug, error, info, warn};

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Lists the files below a folder that contain one of these texts.
    fn with_any(folder: &Path, texts: &[String], found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                with_any(&path, texts, found);
            } else if let Ok(source) = std::fs::read_to_string(&path)
                && texts.iter().any(|text| source.contains(text.as_str()))
            {
                found.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }

    /// Panics are caught only for events written with the macros of this module.
    #[test]
    fn nothing_is_logged_or_measured_but_where_a_panic_is_caught() {
        let levels = ["trace!", "debug!", "info!", "warn!", "error!", "event!", "info_span!"];
        let mut texts = levels.map(|level| format!("{}::{level}", "tracing")).to_vec();
        texts.extend(
            ["gauge!", "counter!", "histogram!"].map(|kind| format!("{}::{kind}", "metrics")),
        );
        let mut found = Vec::new();
        with_any(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &texts, &mut found);
        found.sort();
        assert_eq!(found, ["call_span.rs", "telemetry.rs"]);
    }
}
