//! The report as one page that needs nothing else.

use std::fmt::Write as _;

/// The page: the report's text, then the pictures.
pub(super) fn page(title: &str, report: &str, pictures: &[(String, String)]) -> String {
    let mut body = String::new();
    let mut in_table = false;
    let mut in_list = false;
    for line in report.lines() {
        let is_row = line.starts_with('|');
        if in_table && !is_row {
            body += "</table>\n";
        }
        if in_list && !line.starts_with("- ") {
            body += "</ul>\n";
        }
        // Writing to a string does not fail.
        let _ = if is_row {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            if cells.iter().all(|cell| cell.trim_matches(|c| c == '-' || c == ':').is_empty()) {
                Ok(())
            } else {
                let tag = if in_table { "td" } else { "th" };
                let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", inline(cell)));
                let start = if in_table { "" } else { "<table>\n" };
                writeln!(body, "{start}<tr>{}</tr>", cells.collect::<String>())
            }
        } else if let Some(text) = line.strip_prefix("## ") {
            writeln!(body, "<h2>{}</h2>", inline(text))
        } else if let Some(text) = line.strip_prefix("# ") {
            writeln!(body, "<h1>{}</h1>", inline(text))
        } else if let Some(text) = line.strip_prefix("- ") {
            writeln!(body, "{}<li>{}</li>", if in_list { "" } else { "<ul>" }, inline(text))
        } else if line.is_empty() {
            writeln!(body, "<p>")
        } else {
            writeln!(body, "{}", inline(line))
        };
        (in_table, in_list) = (is_row, line.starts_with("- "));
    }
    if in_table {
        body += "</table>\n";
    }
    for (name, svg) in pictures {
        let _ = writeln!(body, "<figure>{svg}<figcaption>{}</figcaption></figure>", inline(name));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{}</title>\n<style>{STYLE}</style>\n{body}</html>\n",
        escape(title)
    )
}

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
table{border-collapse:collapse;margin:.5rem 0;font-size:13px}th,td{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:right}\
th:first-child,td:first-child{text-align:left}figure{display:inline-block;margin:1rem}figcaption{color:#666;font-size:12px}\
code{background:#f2f2f2;padding:0 .2rem}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Backquotes become code; nothing else does.
fn inline(text: &str) -> String {
    let escaped = escape(text);
    let mut html = String::new();
    for (i, piece) in escaped.split('`').enumerate() {
        if i % 2 == 1 {
            let _ = write!(html, "<code>{piece}</code>");
        } else {
            html += piece;
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_headings_and_pictures_are_in_it_and_nothing_is_loaded() {
        let report = "# a <b>\n\n- `x`: y\n\n| p | q |\n| --- | ---: |\n| `f` | 1 |\n\nend\n";
        let page = page("t", report, &[("cdf".to_owned(), "<svg></svg>".to_owned())]);
        assert!(page.contains("<h1>a &lt;b&gt;</h1>"));
        assert!(page.contains(
            "<table>\n<tr><th>p</th><th>q</th></tr>\n<tr><td><code>f</code></td><td>1</td></tr>\n</table>"
        ));
        assert!(page.contains("<ul><li><code>x</code>: y</li>\n</ul>"));
        assert!(page.contains("<figure><svg></svg>"));
        assert!(!page.contains("http") && !page.contains("src="));
    }
}
