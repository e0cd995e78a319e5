//! What Caddy answers, read to the end of the connection.

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Tells a configuration from every other. It comes after the body, since it is counted while that is written.
    pub(super) tag: Option<String>,
    pub(super) body: String,
}

impl Reply {
    /// Reads one; `None` where it is none, or not whole.
    pub(super) fn read(said: &str) -> Option<Self> {
        let (head, rest) = said.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let headers: Vec<&str> = lines.collect();
        let field = |name| value_of(&headers, name);
        let (body, trailers) =
            if field("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
                dechunked(rest)?
            } else {
                let length = field("content-length").map(str::parse::<usize>);
                let body = match length {
                    Some(length) => rest.get(..length.ok()?)?,
                    None => rest,
                };
                (body.to_owned(), Vec::new())
            };
        let tag = field("etag").or_else(|| value_of(&trailers, "etag")).map(str::to_owned);
        Some(Self { status, tag, body })
    }

    /// Its own words for what is wrong.
    pub(super) fn words(&self) -> String {
        let body: Option<serde_json::Value> = serde_json::from_str(&self.body).ok();
        match body.as_ref().and_then(|body| body["error"].as_str()) {
            Some(error) => error.to_owned(),
            None => format!("its admin API answers with {}", self.status),
        }
    }
}

fn value_of<'h>(headers: &[&'h str], name: &str) -> Option<&'h str> {
    let mut fields = headers.iter().filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A body that came in pieces, and the fields after it.
fn dechunked(rest: &str) -> Option<(String, Vec<&str>)> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        // A piece may end within a character.
        let left = rest.as_bytes().get(at..)?;
        let line = left.windows(2).position(|pair| pair == b"\r\n")?;
        let size = std::str::from_utf8(left.get(..line)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        let begin = line + 2;
        if size == 0 {
            let trailers = rest.get(at + begin..)?.lines().take_while(|line| !line.is_empty()).collect();
            return Some((String::from_utf8_lossy(&body).into_owned(), trailers));
        }
        let end = begin.checked_add(size)?;
        body.extend_from_slice(left.get(begin..end)?);
        if left.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        at += end + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: ETag\r\n\r\n3\r\n{\"a\r\n3\r\n\":1\r\n1\r\n}\r\n0\r\nEtag: \"/config/ 7\"\r\n\r\n";
        let reply = Reply::read(chunked).unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"a":1}"#));
        assert_eq!(reply.tag.as_deref(), Some("\"/config/ 7\""));
        assert_eq!(Reply::read(chunked.split("0\r\nEtag").next().unwrap()), None);
        let split =
            String::from_utf8_lossy(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").into_owned();
        let whole = split + "2\r\n\u{e4}\r\n0\r\n\r\n";
        assert_eq!(Reply::read(&whole).unwrap().body, "\u{e4}");
        let plain = "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 14\r\n\r\n{\"error\":\"no\"}";
        assert_eq!(Reply::read(plain).unwrap().words(), "no");
        assert_eq!(Reply::read(&plain[..plain.len() - 1]), None);
        for nothing in ["", "SSH-2.0\r\n\r\n", "HTTP/1.1 2\r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
            assert_eq!(Reply::read(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn words_that_are_no_json_are_told_by_their_code() {
        let reply = Reply::read("HTTP/1.1 404 Not Found\r\n\r\n404 page not found").unwrap();
        assert_eq!(reply.words(), "its admin API answers with 404");
    }
}
