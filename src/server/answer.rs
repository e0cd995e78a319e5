//! Answers, in the few forms that there are.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::{Value as Json, json};

use super::views::{Document, Refusal};

/// An answer, whole.
pub(super) type Answer = Response<Full<Bytes>>;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain; charset=utf-8";
/// What prometheus-client writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn of(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // What was true a moment ago is of no use to anybody.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    answer
}

pub(super) fn json(status: StatusCode, body: &Json) -> Answer {
    of(status, JSON, format!("{body}\n"))
}

pub(super) fn text(status: StatusCode, body: &str) -> Answer {
    of(status, TEXT, format!("{body}\n"))
}

pub(super) fn metrics(body: String) -> Answer {
    of(StatusCode::OK, OPEN_METRICS, body)
}

pub(super) fn document(document: Document) -> Answer {
    match document {
        Document::Json(body) => of(StatusCode::OK, JSON, body),
        Document::Lines(body) => of(StatusCode::OK, LINES, body),
    }
}

/// What is wrong, with the way out.
pub(super) fn error(status: StatusCode, why: &str) -> Answer {
    json(status, &json!({"error": why}))
}

pub(super) fn refusal(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::Unknown(why) => error(StatusCode::NOT_FOUND, why),
        Refusal::Malformed(why) => error(StatusCode::BAD_REQUEST, why),
        Refusal::Failed(why) => error(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

pub(super) fn wrong_method(allowed: &'static str) -> Answer {
    let why = format!("this is asked for with {allowed}");
    with(error(StatusCode::METHOD_NOT_ALLOWED, &why), ALLOW, allowed)
}

pub(super) fn no_token() -> Answer {
    let why =
        "this takes the token: send `Authorization: Bearer TOKEN` with what is in the file of `--token-file`";
    with(error(StatusCode::UNAUTHORIZED, why), WWW_AUTHENTICATE, "Bearer")
}

pub(super) fn too_often(seconds: u64) -> Answer {
    let why = "too many of these were wrong; what is right is taken all the same";
    let mut answer = error(StatusCode::TOO_MANY_REQUESTS, why);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

fn with(mut answer: Answer, name: HeaderName, value: &'static str) -> Answer {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}

/// A source looks for what is new, soon.
pub(super) fn accepted(source: &str) -> Answer {
    json(StatusCode::ACCEPTED, &json!({"source": source, "accepted": true}))
}
