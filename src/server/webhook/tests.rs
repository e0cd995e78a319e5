//! What each provider sends, what others might send in its place, and too much of either.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use futures_util::FutureExt;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Request;
use hyper::body::Frame;

use super::*;

const SECRET: &str = "It's a Secret to Everybody";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

const PUSHES: [(Provider, &[u8], &str, &str); 3] = [
    (
        Provider::GitHub,
        include_bytes!("../../../tests/webhooks/github-push.json"),
        "x-hub-signature-256",
        "x-github-event",
    ),
    (
        Provider::Gitea,
        include_bytes!("../../../tests/webhooks/gitea-push.json"),
        "x-gitea-signature",
        "x-gitea-event",
    ),
    (
        Provider::Forgejo,
        include_bytes!("../../../tests/webhooks/forgejo-push.json"),
        "x-forgejo-signature",
        "x-forgejo-event",
    ),
];
const GITLAB: &[u8] = include_bytes!("../../../tests/webhooks/gitlab-push.json");

fn door(provider: Provider, secret: &str) -> Door {
    Door::new(Hook { source: "shop".into(), provider, secret: Secret::new(secret), bell: Bell::default() })
}

fn hmac(key: &[u8], body: &[u8]) -> Vec<u8> {
    use ::hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

/// As the header has it.
fn signed(provider: Provider, body: &[u8]) -> String {
    let digits = hex::encode(hmac(SECRET.as_bytes(), body));
    if matches!(provider, Provider::GitHub | Provider::Generic) { format!("sha256={digits}") } else { digits }
}

fn ask(door: &Door, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    at(door, headers, body, NOW)
}

fn at(door: &Door, headers: &[(&str, &str)], body: &[u8], now: Timestamp) -> (u16, String) {
    let mut request = Request::post("/hooks/shop");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    take_in(door, request, now)
}

fn take_in<B: Body<Data = Bytes> + Unpin>(door: &Door, request: Request<B>, now: Timestamp) -> (u16, String) {
    let (head, mut body) = request.into_parts();
    told(door.receive(&head.headers, &mut body, now).now_or_never().unwrap())
}

fn told(answer: Answer) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn rang(door: &Door) -> bool {
    door.hook.bell.rung().now_or_never().is_some()
}

#[test]
fn a_push_of_each_provider_rings() {
    for (provider, body, signature, event) in PUSHES {
        let door = door(provider, SECRET);
        let (status, said) = ask(&door, &[(signature, &signed(provider, body)), (event, "push")], body);
        assert_eq!(
            (status, said.as_str()),
            (202, "{\"source\":\"shop\",\"accepted\":true}\n"),
            "{provider:?}"
        );
        assert!(rang(&door), "{provider:?}");
    }
    let generic = door(Provider::Generic, SECRET);
    let signature = signed(Provider::Generic, b"");
    assert_eq!(ask(&generic, &[("x-signature-256", &signature)], b"").0, 202, "there need not be a body");
    assert!(rang(&generic));
}

#[test]
fn the_example_of_githubs_documentation_holds() {
    let door = door(Provider::GitHub, SECRET);
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(ask(&door, &[("X-Hub-Signature-256", signature)], b"Hello, World!").0, 202);
    assert!(rang(&door));
}

#[test]
fn what_is_not_signed_with_the_secret_is_refused_and_does_not_ring() {
    for (provider, body, header, event) in PUSHES {
        let door = door(provider, SECRET);
        let right = signed(provider, body);
        let (prefix, digits) = right.split_at(right.len() - 64);
        let mut changed = body.to_vec();
        changed[100] ^= 1;
        let other = hex::encode(hmac(b"another secret", body));
        let wrong = [
            (format!("{prefix}{other}"), body, "another secret"),
            (right.clone(), changed.as_slice(), "a body with one bit changed"),
            (right.clone(), &body[..body.len() - 1], "a body with its end missing"),
            (signed(provider, b"{}"), body, "the signature of another body"),
            (right[..right.len() - 2].to_owned(), body, "a truncated signature"),
            (right[..right.len() - 1].to_owned(), body, "an odd number of digits"),
            (format!("{right}00"), body, "more after it"),
            (format!("{right} "), body, "a blank after it"),
            (format!("{prefix}{}", "z".repeat(64)), body, "no hex"),
            (format!("{prefix}{}", "0".repeat(64)), body, "zeroes"),
            (prefix.to_owned(), body, "nothing in it"),
            (format!("sha1={digits}"), body, "another algorithm"),
            (format!("SHA256={digits}"), body, "a prefix in capitals"),
        ];
        for (signature, body, what) in wrong {
            // Each has as many tries as it takes.
            let door = Door::new(door.hook.clone());
            let (status, said) = ask(&door, &[(header, &signature), (event, "push")], body);
            assert_eq!(status, 401, "{provider:?}: {what}: {said}");
            assert!(said.contains(&format!("`{header}` is not right")), "{provider:?}: {what}: {said}");
            assert!(!said.contains(SECRET) && !said.contains(digits), "{said}");
            assert!(!rang(&door), "{provider:?}: {what}");
        }
        let upper = format!("{prefix}{}", digits.to_uppercase());
        assert_eq!(ask(&door, &[(header, &upper)], body).0, 202, "{provider:?}: the same number in capitals");
    }
}

#[test]
fn what_another_provider_would_send_counts_for_nothing() {
    let all = [
        "x-hub-signature-256",
        "x-gitea-signature",
        "x-forgejo-signature",
        "x-signature-256",
        "x-gitlab-token",
    ];
    for (provider, taken) in [
        (Provider::GitHub, &all[..1]),
        (Provider::Gitea, &all[1..2]),
        // Before it had a name of its own it sent Gitea's.
        (Provider::Forgejo, &all[1..3]),
        (Provider::Generic, &all[3..4]),
    ] {
        for header in all {
            let door = door(provider, SECRET);
            let (status, said) = ask(&door, &[(header, &signed(provider, b"{}"))], b"{}");
            let expected = if taken.contains(&header) { 202 } else { 401 };
            assert_eq!(status, expected, "{provider:?}: {header}: {said}");
            assert_eq!(rang(&door), expected == 202, "{provider:?}: {header}");
        }
        let (status, said) = ask(&door(provider, SECRET), &[], b"{}");
        assert_eq!(status, 401);
        assert!(said.contains("there is no `x-"), "{said}");
    }
}

#[test]
fn a_signature_that_is_there_twice_is_none() {
    let door = door(Provider::GitHub, SECRET);
    let (right, header) = (signed(Provider::GitHub, b"{}"), "x-hub-signature-256");
    assert_eq!(ask(&door, &[(header, &right), (header, &right)], b"{}").0, 401);
    // Forgejo's own is what counts where both are there.
    let forgejo = self::door(Provider::Forgejo, SECRET);
    let right = signed(Provider::Forgejo, b"{}");
    let both = [("x-gitea-signature", right.as_str()), ("x-forgejo-signature", "00")];
    assert_eq!(ask(&forgejo, &both, b"{}").0, 401);
    assert!(!rang(&door) && !rang(&forgejo));
}

#[test]
fn gitlab_shows_its_secret_token() {
    let door = door(Provider::GitLab, SECRET);
    let ask = |token: &str| ask(&door, &[("X-Gitlab-Token", token), ("X-Gitlab-Event", "Push Hook")], GITLAB);
    assert_eq!(ask(SECRET).0, 202);
    assert!(rang(&door));
    for wrong in
        ["", "It's a Secret to Everybod", "It's a Secret to Everybody!", "it's a secret to everybody"]
    {
        assert_eq!(ask(wrong).0, 401, "{wrong}");
    }
    assert!(!rang(&door));
}

#[test]
fn a_signing_token_of_gitlab_takes_a_signature_by_standard_webhooks() {
    let key = [7; 32];
    let token = format!("whsec_{}", BASE64.encode(key));
    let door = door(Provider::GitLab, &token);
    let (id, moment) = ("f5e5f430-f57b-4e6e-9fac-d9128cd7232f", "1795960800");
    let of = |body: &[u8]| BASE64.encode(hmac(&key, &[format!("{id}.{moment}.").as_bytes(), body].concat()));
    let right = format!("v1,{}", of(GITLAB));
    let ask = |id: &str, signature: &str, body: &[u8]| {
        let headers = [("webhook-id", id), ("webhook-timestamp", moment), ("webhook-signature", signature)];
        self::ask(&door, &headers, body).0
    };
    assert_eq!(ask(id, &right, GITLAB), 202);
    assert!(rang(&door));
    assert_eq!(
        ask(id, &format!("v1,{} {right} v2,x", of(b"old key")), GITLAB),
        202,
        "while a key is changed"
    );
    assert!(rang(&door));
    for (id, signature, body) in [
        ("another", right.as_str(), GITLAB),
        (id, &right, b"{}"),
        (id, right.trim_start_matches("v1,"), GITLAB),
        (id, &right.replace("v1", "v1a"), GITLAB),
        (id, "v1,", GITLAB),
        (id, "", GITLAB),
        (id, "v1,AAAA", GITLAB),
    ] {
        assert_eq!(ask(id, signature, body), 401, "{signature}");
    }
    // The token itself was never sent, so that nobody who has it from elsewhere is taken for GitLab.
    let shown = self::ask(&door, &[("x-gitlab-token", token.as_str())], GITLAB);
    assert!(shown.0 == 401 && shown.1.contains("no `webhook-signature`"), "{shown:?}");
    assert!(!rang(&door));
}

/// The example of the Standard Webhooks specification's own libraries.
#[test]
fn the_example_of_standard_webhooks_holds() {
    let door = door(Provider::GitLab, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    assert_eq!(ask(&door, &headers, br#"{"test": 2432232314}"#).0, 202);
    assert!(rang(&door));
}

#[test]
fn a_secret_that_anybody_could_sign_with_is_told_and_opens_nothing() {
    for (provider, secret, fault) in [
        (Provider::GitHub, "", Some("the secret is empty")),
        (Provider::GitLab, "", Some("the secret is empty")),
        (Provider::GitLab, "whsec_", Some("a key in base64")),
        (Provider::GitLab, "whsec_!", Some("a key in base64")),
        (Provider::GitLab, "whsec_AAAA", None),
        (Provider::GitHub, "whsec_!", None),
        (Provider::Generic, "x", None),
    ] {
        let door = door(provider, secret);
        let found = door.hook.fault();
        assert_eq!(found.is_some(), fault.is_some(), "{provider:?} {secret:?}: {found:?}");
        assert!(found.unwrap_or_default().contains(fault.unwrap_or_default()));
    }
    let github = door(Provider::GitHub, "");
    let forged = format!("sha256={}", hex::encode(hmac(b"", b"{}")));
    assert_eq!(ask(&github, &[("x-hub-signature-256", &forged)], b"{}").0, 401);
    assert_eq!(ask(&door(Provider::GitLab, ""), &[("x-gitlab-token", "")], b"{}").0, 401);
}

#[test]
fn a_ping_is_answered_and_what_is_no_push_does_not_ring() {
    let door = door(Provider::GitHub, SECRET);
    let (body, header) = (br#"{"zen":"Keep it logically awesome.","hook_id":1}"#, "x-hub-signature-256");
    let signature = signed(Provider::GitHub, body);
    let ask = |event: &str| self::ask(&door, &[(header, &signature), ("x-github-event", event)], body);
    assert_eq!(ask("ping"), (200, "pong\n".to_owned()));
    let (status, said) = ask("issues");
    assert_eq!(status, 202);
    assert!(said.contains(r#""accepted":false"#), "{said}");
    assert!(!rang(&door));
    // Nobody learns by a ping that there is a hook.
    assert_eq!(self::ask(&door, &[("x-github-event", "ping")], body).0, 401);
    for event in ["push", "create", "delete"] {
        assert_eq!(ask(event).0, 202);
        assert!(rang(&door), "{event}");
    }
    let gitlab = self::door(Provider::GitLab, SECRET);
    for (event, rings) in
        [("Push Hook", true), ("Tag Push Hook", true), ("System Hook", true), ("Issue Hook", false)]
    {
        let headers = [("x-gitlab-token", SECRET), ("x-gitlab-event", event)];
        assert_eq!(self::ask(&gitlab, &headers, GITLAB).0, 202);
        assert_eq!(rang(&gitlab), rings, "{event}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_whether_it_says_so_or_not() {
    let door = door(Provider::GitHub, SECRET);
    let part = Bytes::from(vec![b'x'; 1 << 20]);
    let whole = |parts: u64| vec![b'x'; usize::try_from(parts << 20).unwrap()];
    let ask = |parts: u64, announced: bool| {
        let signature = signed(Provider::GitHub, &whole(parts));
        let mut request = Request::post("/hooks/shop").header("x-hub-signature-256", signature);
        if announced {
            request = request.header("content-length", parts << 20);
        }
        let frames = (0..parts).map(|_| Ok::<_, std::convert::Infallible>(Frame::data(part.clone())));
        let request = request.body(StreamBody::new(stream::iter(frames))).unwrap();
        take_in(&door, request, NOW)
    };
    for announced in [true, false] {
        assert_eq!(ask(5, announced).0, 202, "just as much as may be");
        assert!(rang(&door));
        let (status, said) = ask(6, announced);
        assert_eq!(status, 413, "{said}");
        assert!(said.contains("more than 5 MiB"), "{said}");
        assert!(!rang(&door));
    }
}

#[test]
fn a_flood_of_bad_ones_is_told_to_wait_and_loses_no_good_one() {
    let door = door(Provider::GitHub, SECRET);
    let (header, right) = ("x-hub-signature-256", signed(Provider::GitHub, b"{}"));
    let bad = format!("sha256={}", "0".repeat(64));
    let answers: Vec<u16> = (0..1_000).map(|_| ask(&door, &[(header, &bad)], b"{}").0).collect();
    assert!(answers[0] == 401 && answers[999] == 429, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 401).count(), 20);
    assert_eq!(ask(&door, &[], b"{}").0, 429, "nor is one without any signature answered otherwise");
    assert!(!rang(&door));
    assert_eq!(ask(&door, &[(header, &right)], b"{}").0, 202);
    assert!(rang(&door));
    let later = NOW.after(std::time::Duration::from_secs(3));
    assert_eq!(at(&door, &[(header, &bad)], b"{}", later).0, 401);
    assert_eq!(at(&door, &[(header, &bad)], b"{}", later).0, 429);
}

#[test]
fn ten_thousand_good_ones_ring_once() {
    let door = door(Provider::GitHub, SECRET);
    let (header, right) = ("x-hub-signature-256", signed(Provider::GitHub, b"{}"));
    for nth in 0..10_000 {
        assert_eq!(ask(&door, &[(header, &right)], b"{}").0, 202, "{nth}");
    }
    assert!(rang(&door));
    assert!(!rang(&door), "and only once");
}

#[test]
fn nothing_shows_the_secret() {
    let door = door(Provider::GitHub, "canary");
    assert!(!format!("{door:?}").contains("canary"));
}
