//! The common parts of both charts: SVG that is readable on light and dark backgrounds.

/// Wraps a chart of this height.
pub(crate) fn svg(title: &str, height: u32, content: &str) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="{title}">
<style>
text {{ font: 12px system-ui, sans-serif; fill: #24292f; }}
.title {{ font-size: 15px; font-weight: 600; }}
.faint {{ fill: #57606a; }}
.rule {{ stroke: #d0d7de; }}
.one {{ stroke: #57606a; stroke-dasharray: 4 3; }}
.sdk {{ fill: #0969da; stroke: #0969da; }}
.floor {{ fill: #8c959f; stroke: #8c959f; }}
.other {{ fill: #bf8700; stroke: #bf8700; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3; }}
.faint {{ fill: #9198a1; }}
.rule {{ stroke: #3d444d; }}
.one {{ stroke: #9198a1; }}
.sdk {{ fill: #4493f8; stroke: #4493f8; }}
.other {{ fill: #d29922; stroke: #d29922; }}
}}
</style>
<text class="title" x="16" y="26">{title}</text>
{content}</svg>
"#,
        title = escaped(title)
    )
}

/// The width of all charts.
pub(crate) const WIDTH: u32 = 860;

/// Escapes text for SVG.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
