//! A verdict in the words of each code host, and its answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Request, StatusCode};
use serde_json::json;

use super::super::page::AGENT;
use crate::core::code_host::{CodeHost, Provider};
use crate::core::time::Timestamp;
use crate::core::verdict::{Post, State};
use crate::secret::Secret;

/// The version of GitHub's API that this is written for.
const GITHUB_VERSION: &str = "2022-11-28";

/// What an attempt came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is there.
    Taken,
    /// It may be another time, and not before that long.
    Later { why: String, after: Option<Duration> },
    /// It will not be, however often it is tried.
    Never { why: String, way_out: String },
}

/// What is sent.
pub(super) fn request(host: &CodeHost, post: &Post, token: &Secret) -> Result<Request<Full<Bytes>>, String> {
    let (uri, body) = match host.provider {
        Provider::GitLab => (gitlab(host, post), Vec::new()),
        Provider::GitHub | Provider::Gitea | Provider::Forgejo => json_post(host, post),
    };
    let (name, value) = match host.provider {
        Provider::GitHub => (AUTHORIZATION.as_str(), format!("Bearer {}", token.expose())),
        Provider::Gitea | Provider::Forgejo => (AUTHORIZATION.as_str(), format!("token {}", token.expose())),
        Provider::GitLab => ("private-token", token.expose().to_owned()),
    };
    // What is wrong with it is not repeated.
    let mut value =
        HeaderValue::from_str(&value).map_err(|_| "the token has characters that none has".to_owned())?;
    value.set_sensitive(true);
    let mut request = Request::post(uri).header(USER_AGENT, AGENT).header(name, value);
    if host.provider == Provider::GitHub {
        request = request
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", GITHUB_VERSION);
    }
    request = match host.provider {
        // All of it is in the address; a POST that says nothing of its length is refused by some proxies.
        Provider::GitLab => request.header(CONTENT_LENGTH, "0"),
        Provider::GitHub | Provider::Gitea | Provider::Forgejo => {
            request.header(CONTENT_TYPE, "application/json")
        }
    };
    request.body(Full::new(Bytes::from(body))).map_err(|error| format!("its address cannot be read: {error}"))
}

fn json_post(host: &CodeHost, post: &Post) -> (String, Vec<u8>) {
    let path = host.repository.split('/').map(encoded).collect::<Vec<_>>().join("/");
    let version = if host.provider == Provider::GitHub { "" } else { "/api/v1" };
    let uri = format!("{}{version}/repos/{path}/statuses/{}", host.api, post.about.hash);
    let body = json!({
        "state": match post.state {
            State::Pending => "pending",
            State::Failure => "failure",
            State::Success => "success",
        },
        "context": context(host, post),
        "description": description(host, post),
    });
    (uri, body.to_string().into_bytes())
}

fn gitlab(host: &CodeHost, post: &Post) -> String {
    let state = match post.state {
        State::Pending => "running",
        State::Failure => "failed",
        State::Success => "success",
    };
    format!(
        "{}/api/v4/projects/{}/statuses/{}?state={state}&name={}&description={}",
        host.api,
        encoded(&host.repository),
        post.about.hash,
        encoded(&context(host, post)),
        encoded(&description(host, post)),
    )
}

/// Under which name it stands there: `operator/shop`.
fn context(host: &CodeHost, post: &Post) -> String {
    match &post.about.stack {
        Some(stack) => format!("{}/{stack}", host.context),
        None => host.context.clone(),
    }
}

/// As much of it as the host takes.
fn description(host: &CodeHost, post: &Post) -> String {
    let most = host.provider.longest_description();
    if post.description.chars().count() <= most {
        return post.description.clone();
    }
    post.description.chars().take(most - 1).chain(['…']).collect()
}

/// As one part of a path, or one value of a query.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Reads what a host answers.
pub(super) fn answer(host: &CodeHost, status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Answer {
    if status.is_success() {
        return Answer::Taken;
    }
    let after = headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
    let why = format!("it answers {status}");
    // GitHub says 403 to those who ask too often, too, and until when.
    let is_flooded =
        status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::FORBIDDEN && after.is_some();
    if status.is_server_error() || is_flooded {
        return Answer::Later { why, after };
    }
    let (repository, file) = (&host.repository, host.token_file.display());
    let way_out = match status {
        StatusCode::UNAUTHORIZED => format!("the token is not taken: write one that is valid into {file}"),
        StatusCode::FORBIDDEN => {
            format!("the token in {file} may not set a commit's status of {repository}: give it that right")
        }
        StatusCode::NOT_FOUND => format!(
            "{} has no {repository}, or the token in {file} may not see it: look at `api`, `repository` and its rights",
            host.api
        ),
        StatusCode::UNPROCESSABLE_ENTITY => {
            format!("is the commit in {repository}? Say with `repository` where it is")
        }
        _ => "look at `provider`, `api` and `repository` in spec.commitStatus".to_owned(),
    };
    Answer::Never { why, way_out }
}

/// `120`, or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    text.parse().map(Duration::from_secs).ok().or_else(|| {
        let date = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(Timestamp::from_millis(date.timestamp().as_millisecond()).since(now))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::verdict::About;

    fn host(provider: Provider) -> CodeHost {
        CodeHost {
            provider,
            api: "https://git.example.com:8443".to_owned(),
            repository: "ops/shop".to_owned(),
            token_file: "/etc/token".into(),
            context: "operator".to_owned(),
        }
    }

    fn post(stack: Option<&str>, description: &str) -> Post {
        let about = About { source: "shop".into(), hash: "3f2c".into(), stack: stack.map(Into::into) };
        Post { about, state: State::Failure, description: description.to_owned() }
    }

    #[test]
    fn a_description_is_cut_to_what_the_host_takes() {
        for (provider, most) in [(Provider::GitHub, 140), (Provider::GitLab, 255), (Provider::Forgejo, 255)] {
            let cut = description(&host(provider), &post(None, &"ä".repeat(300)));
            assert_eq!((cut.chars().count(), cut.chars().last()), (most, Some('…')), "{provider:?}");
            let whole = "ä".repeat(most);
            assert_eq!(description(&host(provider), &post(None, &whole)), whole);
        }
    }

    #[test]
    fn what_a_code_host_would_read_as_its_own_is_text() {
        let gitlab = CodeHost { repository: "ops/web/shop".to_owned(), ..host(Provider::GitLab) };
        let uri = request(&gitlab, &post(Some("shop"), "a&b=c +#%"), &Secret::new("t")).unwrap();
        assert_eq!(
            uri.uri(),
            "https://git.example.com:8443/api/v4/projects/ops%2Fweb%2Fshop/statuses/3f2c\
             ?state=failed&name=operator%2Fshop&description=a%26b%3Dc%20%2B%23%25"
        );
        let odd = CodeHost { repository: "o?s/sh#p".to_owned(), ..host(Provider::GitHub) };
        let uri = request(&odd, &post(None, ""), &Secret::new("t")).unwrap();
        assert_eq!(uri.uri(), "https://git.example.com:8443/repos/o%3Fs/sh%23p/statuses/3f2c");
    }

    #[test]
    fn a_token_is_in_no_debug_output_and_one_that_is_none_is_not_repeated() {
        for provider in [Provider::GitHub, Provider::GitLab, Provider::Gitea] {
            let sent = request(&host(provider), &post(None, ""), &Secret::new("canary")).unwrap();
            assert!(!format!("{sent:?}").contains("canary"), "{sent:?}");
            let error = request(&host(provider), &post(None, ""), &Secret::new("can\nary")).unwrap_err();
            assert_eq!(error, "the token has characters that none has");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_says_the_way_out() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let answer = |status: u16, after: Option<&str>| {
            let after = after.map(|after| (RETRY_AFTER, HeaderValue::from_str(after).unwrap()));
            let headers: HeaderMap = after.into_iter().collect();
            answer(&host(Provider::GitHub), StatusCode::from_u16(status).unwrap(), &headers, now)
        };
        assert_eq!(answer(201, None), Answer::Taken);
        let seconds = |answer| match answer {
            Answer::Later { after, .. } => Some(after.map(|after| after.as_secs())),
            Answer::Taken | Answer::Never { .. } => None,
        };
        for (status, after, expected) in [
            (500, None, None),
            (503, Some("120"), Some(120)),
            (429, Some(" 1 "), Some(1)),
            (429, Some("Fri, 15 Jan 2027 08:00:30 GMT"), Some(30)),
            (429, Some("Fri, 15 Jan 2027 07:00:00 GMT"), Some(0)),
            (429, Some("soon"), None),
            (403, Some("60"), Some(60)),
        ] {
            assert_eq!(seconds(answer(status, after)), Some(expected), "{status} {after:?}");
        }
        for (status, told) in [
            (401, "/etc/token"),
            (403, "give it that right"),
            (404, "`repository`"),
            (422, "is the commit in ops/shop?"),
            (302, "spec.commitStatus"),
        ] {
            let Answer::Never { way_out, .. } = answer(status, None) else { panic!("{status}") };
            assert!(way_out.contains(told), "{status}: {way_out}");
        }
    }
}
