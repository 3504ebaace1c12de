//! Splits `exec` and `cmd` lines into words as containerlab does: quotes and backslashes as in a
//! shell, but no shell is run, so `|`, `>` and `$` are ordinary characters.

/// # Errors
/// Names an unterminated quote or a trailing backslash.
pub(crate) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("unterminated single quote"),
                    }
                }
            }
            '"' => double_quoted(&mut characters, word.get_or_insert_default())?,
            '\\' => {
                let next = characters.next().ok_or("trailing backslash")?;
                word.get_or_insert_default().push(next);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(characters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), &'static str> {
    loop {
        match characters.next().ok_or("unterminated double quote")? {
            '"' => return Ok(()),
            '\\' => match characters.next().ok_or("unterminated double quote")? {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_of_a_line() {
        assert_eq!(split("ip  addr add 10.0.0.1/24\tdev eth1").unwrap().len(), 6);
        assert_eq!(
            split(r#"sh -c "echo 'a b' > \"c\" \$x""#).unwrap(),
            ["sh", "-c", r#"echo 'a b' > "c" \$x"#]
        );
        assert_eq!(split(r"a\ b'c d' ''").unwrap(), ["a bc d", ""]);
        assert!(split("").unwrap().is_empty());
        assert!(split("a 'b").is_err());
        assert!(split("a \"b").is_err());
        assert!(split("a\\").is_err());
    }
}
