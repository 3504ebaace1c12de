//! The few shapes that the picture needs, as SVG text.

use std::fmt::Write as _;

pub(super) struct Canvas {
    body: String,
    width: f64,
}

/// How a text looks.
#[derive(Clone, Copy)]
pub(super) struct Type {
    pub(super) size: f64,
    pub(super) fill: &'static str,
    /// `start`, `middle` or `end`.
    pub(super) anchor: &'static str,
    pub(super) bold: bool,
}

impl Type {
    pub(super) const fn new(size: f64, fill: &'static str) -> Self {
        Self {
            size,
            fill,
            anchor: "start",
            bold: false,
        }
    }

    pub(super) const fn anchor(self, anchor: &'static str) -> Self {
        Self { anchor, ..self }
    }

    pub(super) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

impl Canvas {
    pub(super) const fn new(width: f64) -> Self {
        Self {
            body: String::new(),
            width,
        }
    }

    pub(super) fn rect(&mut self, [x, y, width, height]: [f64; 4], fill: &str, radius: f64) {
        if width > 0.0 && height > 0.0 {
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(
                self.body,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="{radius}" fill="{fill}"/>"#
            );
        }
    }

    pub(super) fn line(&mut self, [x1, y1, x2, y2]: [f64; 4], stroke: &str, width: f64, dash: &str) {
        let dash = if dash.is_empty() {
            String::new()
        } else {
            format!(r#" stroke-dasharray="{dash}""#)
        };
        let _ = writeln!(
            self.body,
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{stroke}" stroke-width="{width}"{dash}/>"#
        );
    }

    pub(super) fn circle(&mut self, x: f64, y: f64, radius: f64, fill: &str, stroke: &str) {
        let _ = writeln!(
            self.body,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{fill}" stroke="{stroke}" stroke-width="1.5"/>"#
        );
    }

    pub(super) fn text(&mut self, x: f64, y: f64, kind: Type, content: &str) {
        let weight = if kind.bold { r#" font-weight="600""# } else { "" };
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{}" fill="{}" text-anchor="{}"{weight}>{}</text>"#,
            kind.size,
            kind.fill,
            kind.anchor,
            escape(content)
        );
    }

    pub(super) fn finish(self, height: f64, background: &str) -> String {
        let width = self.width;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height:.0}\" width=\"{width}\" \
             height=\"{height:.0}\" font-family=\"Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"{background}\"/>\n{}</svg>\n",
            self.body
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_the_picture() {
        let mut canvas = Canvas::new(100.0);
        canvas.text(1.0, 2.0, Type::new(10.0, "#000"), "a < b & c");
        canvas.rect([0.0, 0.0, -5.0, 1.0], "#fff", 0.0);
        let svg = canvas.finish(50.0, "#fff");
        assert!(svg.contains("a &lt; b &amp; c") && !svg.contains("-5"));
    }
}
