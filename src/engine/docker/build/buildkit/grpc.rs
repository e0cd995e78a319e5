//! gRPC as far as a build needs it: messages in frames over HTTP/2, and how a call ended.

use std::convert::Infallible;
use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::{Request, Response};
use prost::Message;

/// The longest message that is read: what gRPC itself allows BuildKit.
const MAX_MESSAGE: usize = 16 << 20;

/// What stands before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A body that is sent.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How a call ended that did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: Code,
    pub(super) message: String,
}

/// Codes of gRPC, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub(super) u32);

impl Code {
    pub(super) const NOT_FOUND: Self = Self(5);
    pub(super) const UNIMPLEMENTED: Self = Self(12);
    pub(super) const INTERNAL: Self = Self(13);
    pub(super) const UNAVAILABLE: Self = Self(14);
    /// Not gRPC's: the other end did not say how it ended.
    pub(super) const BROKEN: Self = Self(u32::MAX);
}

impl Status {
    pub(super) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    fn broken(error: impl fmt::Display) -> Self {
        Self::new(Code::BROKEN, format_args!("the connection to BuildKit broke: {error}"))
    }

    /// From the headers that end a call; `None` where they say that all is well.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let code = text(STATUS)?.parse().unwrap_or(2);
        (code != 0).then(|| Self::new(Code(code), unescaped(text(MESSAGE).unwrap_or_default())))
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, HeaderValue::from(self.code.0));
        if let Ok(message) = HeaderValue::from_str(&escaped(&self.message)) {
            headers.insert(MESSAGE, message);
        }
        headers
    }
}

/// A message in its frame.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows as needed: encoding cannot fail.
    let _encoded = message.encode(&mut frame);
    frame.freeze()
}

/// The messages of a body that is received, and how it ended.
pub(super) struct Messages {
    body: Incoming,
    buffer: BytesMut,
    ended: Option<HeaderMap>,
}

impl Messages {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, buffer: BytesMut::new(), ended: None }
    }

    /// The next message; `None` at the end.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return M::decode(message).map(Some).map_err(Status::broken);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Status::broken(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => self.ended = frame.into_trailers().ok(),
                },
            }
        }
    }

    /// A message that has arrived whole.
    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let Some((head, _)) = self.buffer.split_first_chunk::<HEAD>() else { return Ok(None) };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if head[0] != 0 || length > MAX_MESSAGE {
            return Err(Status::broken("a message that is compressed or too long"));
        }
        if self.buffer.len() < HEAD + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    fn end(&self) -> Result<(), Status> {
        self.ended.as_ref().and_then(Status::read).map_or(Ok(()), Err)
    }
}

/// Makes a call with one answer.
pub(super) async fn call<M: Message + Default>(
    control: &mut SendRequest<Full<Bytes>>,
    method: &str,
    message: &impl Message,
) -> Result<M, Status> {
    let mut answers = open(control, method, message).await?;
    let answer = answers.next().await?;
    if answer.is_some() {
        // The end says whether the answer counts.
        while answers.next::<super::messages::Empty>().await?.is_some() {}
    }
    answers.end()?;
    answer.ok_or_else(|| Status::broken("no answer"))
}

/// Makes a call with any number of answers.
pub(super) async fn open(
    control: &mut SendRequest<Full<Bytes>>,
    method: &str,
    message: &impl Message,
) -> Result<Messages, Status> {
    control.ready().await.map_err(Status::broken)?;
    let request = Request::post(format!("http://buildkit{method}"))
        .header(CONTENT_TYPE, GRPC)
        .header(TE, "trailers")
        .body(Full::new(framed(message)))
        .map_err(Status::broken)?;
    let answer = control.send_request(request).await.map_err(Status::broken)?;
    if let Some(status) = Status::read(answer.headers()) {
        return Err(status);
    }
    Ok(Messages::new(answer.into_body()))
}

/// The answer to a call: one message, or why there is none.
pub(super) fn answer(outcome: Result<impl Message, Status>) -> Response<Body> {
    match outcome {
        Ok(message) => streamed(stream::iter([framed(&message)])),
        Err(status) => refusal(&status),
    }
}

/// The answer to a call that is not carried out.
pub(super) fn refusal(status: &Status) -> Response<Body> {
    let mut response = Response::new(UnsyncBoxBody::new(Empty::new()));
    response.headers_mut().extend(status.headers());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// The answer to a call: frames as they come.
pub(super) fn streamed(frames: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    let mut well = HeaderMap::new();
    well.insert(STATUS, HeaderValue::from_static("0"));
    let end = stream::iter([Ok(Frame::trailers(well))]);
    let body = frames.map(|frame| Ok::<_, Infallible>(Frame::data(frame))).chain(end);
    let mut response = Response::new(UnsyncBoxBody::new(StreamBody::new(body)));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// As gRPC writes a message into a header.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

/// Undoes [`escaped`], and what a header's value is written in where it is not ASCII.
pub(super) fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = after.split_first_chunk::<2>().filter(|_| *first == b'%');
        let byte = escape.and_then(|(digits, left)| Some((*hex::decode(digits).ok()?.first()?, left)));
        match byte {
            Some((byte, left)) => {
                out.push(byte);
                rest = left;
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_its_header() {
        let text = "process \"a\" failed: 100 % — leer\n";
        assert!(escaped(text).is_ascii());
        assert_eq!(unescaped(&escaped(text)), text);
        assert_eq!(unescaped("50% of %zz"), "50% of %zz");
    }

    #[test]
    fn an_end_is_well_only_with_code_0() {
        let status = Status::new(Code(2), "no\nroom");
        assert_eq!(Status::read(&status.headers()), Some(status));
        let mut well = HeaderMap::new();
        well.insert(STATUS, HeaderValue::from_static("0"));
        assert_eq!(Status::read(&well), None);
    }
}
