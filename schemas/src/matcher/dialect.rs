//! Go's regular expressions in the words of the `regex` crate, so that a pattern means what it means in Prometheus.
//!
//! Both are RE2's syntax, with these differences: here `\d`, `\w`, `\s`, `\b` are of ASCII; `{` is itself where no count
//! follows; in brackets, `[`, `&&`, `--`, `~~` are themselves; `\Q…\E` and octal escapes are known; flags other than
//! `imsU`, stacked repetitions (`a**`) and counts over 1,000 are refused. Errors have Go's words.
//! Not here: compiling.

/// The largest count of a repetition.
const COUNT_MAX: u32 = 1_000;

/// The same pattern for the `regex` crate, its parentheses balanced; or what is wrong, as Go says it.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut reader = Reader { pattern, at: 0, out: String::with_capacity(pattern.len() + 16) };
    let mut open = 0_usize;
    // Whether something stands in front that can be repeated, and where a repetition begins that ends just here.
    let (mut operand, mut repeated) = (false, None);
    while let Some(c) = reader.peek() {
        let start = reader.at;
        let mut repeats = None;
        match c {
            '(' => {
                let group = reader.group()?;
                open += usize::from(group);
                // Flags without a group leave nothing to repeat either.
                operand = false;
            }
            ')' => {
                open = open.checked_sub(1).ok_or_else(|| format!("unexpected ): `{pattern}`"))?;
                reader.copy();
                operand = true;
            }
            '|' => {
                reader.copy();
                operand = false;
            }
            '*' | '+' | '?' => {
                reader.copy();
                repeats = Some(start);
            }
            '{' => match reader.count() {
                Some(count) => {
                    reader.take(count?);
                    repeats = Some(start);
                }
                None => {
                    reader.literal('{');
                    operand = true;
                }
            },
            '[' => {
                reader.class()?;
                operand = true;
            }
            '\\' => {
                reader.escape()?;
                operand = true;
            }
            _ => {
                reader.copy();
                operand = true;
            }
        }
        if let Some(start) = repeats {
            if reader.peek() == Some('?') {
                reader.copy();
            }
            if let Some(first) = repeated {
                return Err(format!("invalid nested repetition operator: `{}`", &pattern[first..reader.at]));
            }
            if !operand {
                return Err(format!("missing argument to repetition operator: `{}`", &pattern[start..reader.at]));
            }
        }
        repeated = repeats;
    }
    if open > 0 { Err(format!("missing closing ): `{pattern}`")) } else { Ok(reader.out) }
}

struct Reader<'a> {
    pattern: &'a str,
    at: usize,
    out: String,
}

/// A character, or a set that an escape names.
enum Escaped {
    Char(char),
    /// As it is written inside brackets.
    Set(String),
    /// As it is written outside brackets: a place between characters.
    Place(&'static str),
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.pattern[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// The next character, as it is.
    fn copy(&mut self) {
        let c = self.next();
        self.out.extend(c);
    }

    /// So many bytes, as they are.
    fn take(&mut self, bytes: usize) {
        self.out.push_str(&self.pattern[self.at..self.at + bytes]);
        self.at += bytes;
    }

    /// The next character stands for itself.
    fn literal(&mut self, c: char) {
        self.next();
        push_literal(&mut self.out, c);
    }

    /// `{n}`, `{n,}` or `{n,m}`: its length in bytes. `None`: the brace stands for itself.
    fn count(&self) -> Option<Result<usize, String>> {
        let body = self.rest().strip_prefix('{')?;
        let body = &body[..body.find('}')?];
        let (low, high) = body.split_once(',').map_or((body, None), |(low, high)| (low, Some(high)));
        let is_number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            digits && !text.is_empty() && (text.len() == 1 || !text.starts_with('0'))
        };
        if !is_number(low) || high.is_some_and(|high| !high.is_empty() && !is_number(high)) {
            return None;
        }
        let value = |text: &str| text.parse::<u32>().ok().filter(|count| *count <= COUNT_MAX);
        let fits = match (value(low), high) {
            (None, _) => false,
            (Some(_), None | Some("")) => true,
            (Some(low), Some(high)) => value(high).is_some_and(|high| low <= high),
        };
        Some(if fits { Ok(body.len() + 2) } else { Err(format!("invalid repeat count: `{{{body}}}`")) })
    }

    /// `(`, `(?:`, `(?P<name>`, `(?i)`, …: whether it opens a group.
    fn group(&mut self) -> Result<bool, String> {
        let Some(behind) = self.rest().strip_prefix("(?") else {
            self.copy();
            return Ok(true);
        };
        if let Some(name) = behind.strip_prefix("P<").or_else(|| behind.strip_prefix('<')) {
            let rest = self.rest();
            let length = name.find('>').ok_or_else(|| format!("invalid named capture: `{rest}`"))?;
            let whole = rest.len() - name.len() + length + 1;
            let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
            if length == 0 || !name[..length].chars().all(word) {
                return Err(format!("invalid named capture: `{}`", &rest[..whole]));
            }
            self.take(whole);
            return Ok(true);
        }
        if behind.is_empty() {
            return Err("invalid or unsupported Perl syntax: `(?`".to_owned());
        }
        let (mut flags, mut minus) = (false, false);
        for (at, c) in behind.char_indices() {
            let end = 2 + at + c.len_utf8();
            match c {
                'i' | 'm' | 's' | 'U' => flags = true,
                '-' if !minus => (minus, flags) = (true, false),
                ':' | ')' if flags || !minus => {
                    self.take(end);
                    return Ok(c == ':');
                }
                _ => return Err(format!("invalid or unsupported Perl syntax: `{}`", &self.rest()[..end])),
            }
        }
        Err(format!("missing closing ): `{}`", self.pattern))
    }

    /// A backslash and what follows, outside brackets.
    fn escape(&mut self) -> Result<(), String> {
        if let Some(quoted) = self.rest().strip_prefix(r"\Q") {
            // Without an end, Prometheus' anchors behind the pattern are quoted too.
            let length = quoted.find(r"\E").ok_or_else(|| format!("missing closing ): `^(?s:{})$`", self.pattern))?;
            let mut out = String::new();
            quoted[..length].chars().for_each(|c| push_literal(&mut out, c));
            self.at += length + 4;
            self.out.push_str(&out);
            return Ok(());
        }
        match self.escaped()? {
            Escaped::Char(c) => push_literal(&mut self.out, c),
            Escaped::Set(set) => self.out.push_str(&format!("[{set}]")),
            Escaped::Place(place) => self.out.push_str(place),
        }
        Ok(())
    }

    /// What a backslash and the characters behind it name.
    fn escaped(&mut self) -> Result<Escaped, String> {
        let start = self.at;
        self.next();
        let c = self.next().ok_or("trailing backslash at end of expression: ``")?;
        let set = |set: &str| Ok(Escaped::Set(set.to_owned()));
        match c {
            'd' => set("0-9"),
            'D' => set("[^0-9]"),
            's' => set(r"\t\n\x0c\r "),
            'S' => set(r"[^\t\n\x0c\r ]"),
            'w' => set("0-9A-Za-z_"),
            'W' => set("[^0-9A-Za-z_]"),
            'A' => Ok(Escaped::Place(r"\A")),
            'z' => Ok(Escaped::Place(r"\z")),
            'b' => Ok(Escaped::Place(r"(?-u:\b)")),
            'B' => Ok(Escaped::Place(r"\B")),
            'a' => Ok(Escaped::Char('\u{7}')),
            'f' => Ok(Escaped::Char('\u{c}')),
            'n' => Ok(Escaped::Char('\n')),
            'r' => Ok(Escaped::Char('\r')),
            't' => Ok(Escaped::Char('\t')),
            'v' => Ok(Escaped::Char('\u{b}')),
            'p' | 'P' => {
                let length = match self.peek() {
                    Some('{') => self.rest().find('}').map_or(self.rest().len(), |end| end + 1),
                    Some(c) => c.len_utf8(),
                    None => 0,
                };
                self.at += length;
                set(&self.pattern[start..self.at])
            }
            'x' => self.hexadecimal(start),
            '0'..='7' if c == '0' || self.peek().is_some_and(|c| c.is_digit(8)) => {
                let more = self.rest().bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
                self.at += more;
                let code = u32::from_str_radix(&self.pattern[start + 1..self.at], 8).ok().and_then(char::from_u32);
                code.map(Escaped::Char).ok_or_else(|| self.bad_escape(start))
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(Escaped::Char(c)),
            _ => Err(self.bad_escape(start)),
        }
    }

    /// `\x7f` or `\x{10ffff}`; `\x` has been read.
    fn hexadecimal(&mut self, start: usize) -> Result<Escaped, String> {
        let length = match self.rest().strip_prefix('{') {
            Some(body) => body.find('}').map(|end| end + 2),
            None => self.rest().char_indices().nth(1).map(|(at, c)| at + c.len_utf8()),
        };
        let digits = length.map(|length| self.rest()[..length].trim_matches(['{', '}']));
        let plain = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = plain.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        self.at += length.unwrap_or(0);
        code.map(Escaped::Char).ok_or_else(|| self.bad_escape(start))
    }

    fn bad_escape(&self, start: usize) -> String {
        format!("invalid escape sequence: `{}`", &self.pattern[start..self.at])
    }

    /// `[…]`.
    fn class(&mut self) -> Result<(), String> {
        let start = self.at;
        let missing = || format!("missing closing ]: `{}`", &self.pattern[start..]);
        let missing = missing();
        self.copy();
        if self.peek() == Some('^') {
            self.copy();
        }
        let first = self.at;
        loop {
            let item = self.at;
            let Some(c) = self.peek() else { return Err(missing) };
            if c == ']' && item > first {
                self.copy();
                return Ok(());
            }
            if c == '[' && self.rest().starts_with("[:") && self.posix()? {
                continue;
            }
            let Some(low) = self.class_item(&missing)? else { continue };
            let mut behind = self.rest().chars();
            if behind.next() != Some('-') || matches!(behind.next(), Some(']') | None) {
                push_literal(&mut self.out, low);
                continue;
            }
            self.next();
            let high = match self.peek() {
                Some('\\') => {
                    let start = self.at;
                    match self.escaped()? {
                        Escaped::Char(high) => high,
                        Escaped::Set(_) | Escaped::Place(_) => return Err(self.bad_escape(start)),
                    }
                }
                _ => self.next().ok_or_else(|| missing.clone())?,
            };
            if high < low {
                return Err(self.bad_range(item));
            }
            push_literal(&mut self.out, low);
            self.out.push('-');
            push_literal(&mut self.out, high);
        }
    }

    /// One character in brackets, not yet written; `None`: it was a set, and is written.
    fn class_item(&mut self, missing: &str) -> Result<Option<char>, String> {
        if self.peek() != Some('\\') {
            return self.next().map(Some).ok_or_else(|| missing.to_owned());
        }
        let start = self.at;
        match self.escaped()? {
            Escaped::Char(c) => Ok(Some(c)),
            Escaped::Set(set) => {
                self.out.push_str(&set);
                Ok(None)
            }
            Escaped::Place(_) => Err(self.bad_escape(start)),
        }
    }

    /// `[:alpha:]` and the like; false where the bracket stands for itself.
    fn posix(&mut self) -> Result<bool, String> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
            "word", "xdigit",
        ];
        let Some(end) = self.rest().find(":]") else { return Ok(false) };
        if end < 2 {
            return Ok(false);
        }
        let name = &self.rest()[2..end];
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(format!("invalid character class range: `[:{name}:]`"));
        }
        self.take(end + 2);
        Ok(true)
    }

    fn bad_range(&self, start: usize) -> String {
        format!("invalid character class range: `{}`", &self.pattern[start..self.at])
    }
}

/// A character that stands for itself, in brackets and outside.
fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_punctuation() && c != '<' && c != '>' {
        out.push('\\');
    }
    out.push(c);
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let translated = translate(pattern).expect(pattern);
        Regex::new(&format!("^(?s:{translated})$")).expect(&translated).is_match(text)
    }

    #[test]
    fn braces_without_a_count_stand_for_themselves() {
        assert!(matches("{a}", "{a}"));
        assert!(matches("a{,2}", "a{,2}"));
        assert!(matches("a{01}", "a{01}"));
        assert!(matches("a{2}", "aa") && matches("a{1,}?", "aaa") && matches("a{0,2}", ""));
        assert!(matches("/api/{id}/.+", "/api/{id}/x"));
    }

    #[test]
    fn brackets_hold_characters_and_no_sets() {
        assert!(matches("[^[]+", "abc") && !matches("[^[]+", "a[c"));
        assert!(matches("[a&&b]+", "a&b") && matches("[+--b]+", "-,b+") && matches("[~~]", "~"));
        assert!(matches("[]a]+", "a]") && matches("[^]]", "a") && matches("[a-]+", "a-") && matches("[a-c-z]+", "b-z"));
        assert!(matches(r"[\d\]_.-]+", "1].-_") && matches(r"[\D]", "a") && matches("[[:alpha:]_]+", "a_"));
        assert!(matches(r"[\x41-\x{43}]+", "ABC") && matches("[[:^digit:]]", "x"));
    }

    #[test]
    fn letters_of_escapes_are_of_ascii() {
        assert!(matches(r"\d+", "12") && !matches(r"\d", "١"));
        assert!(matches(r"\w+", "a_1") && !matches(r"\w", "é") && matches(r"\W", "é"));
        assert!(matches(r"\s", " ") && !matches(r"\s", "\u{a0}") && !matches(r"\s", "\u{b}"));
        assert!(matches(r"a.*\bb", "a b") && matches(r"\pL+", "é") && matches(r"\p{Greek}", "α"));
    }

    #[test]
    fn other_escapes_are_those_of_go() {
        assert!(matches(r"\Qa.b{\E+", "a.b{{") && matches(r"\Q[\E+", "[["));
        assert!(matches(r"\101\0", "A\0") && matches(r"\<a\>\_\-", "<a>_-"));
        assert!(matches(r"(?i)A(?-i:b)(?P<n>c)(?<m>d)", "abcd"));
        assert!(matches("(a|b)*|", "") && matches("^*a$", "a"));
    }

    #[test]
    fn errors_are_in_the_words_of_go() {
        let cases = [
            ("(", "missing closing ): `(`"),
            ("a)|(b", "unexpected ): `a)|(b`"),
            ("a[b", "missing closing ]: `[b`"),
            ("[]", "missing closing ]: `[]`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a|+?", "missing argument to repetition operator: `+?`"),
            ("(?i)*", "missing argument to repetition operator: `*`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("a*?+", "invalid nested repetition operator: `*?+`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            (r"a\", "trailing backslash at end of expression: ``"),
            (r"\e", r"invalid escape sequence: `\e`"),
            (r"\u{61}", r"invalid escape sequence: `\u`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\Qa", r"missing closing ): `^(?s:\Qa)$`"),
            (r"[a-\d]", r"invalid escape sequence: `\d`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:letters:]]", "invalid character class range: `[:letters:]`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?P<n", "invalid named capture: `(?P<n`"),
            ("(?P<a b>c)", "invalid named capture: `(?P<a b>`"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(translate(pattern), Err(expected.to_owned()), "{pattern}");
        }
    }
}
