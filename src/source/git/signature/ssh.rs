//! SSH signatures, judged by `ssh-keygen`.

use std::process::Output;

use super::keys::Keys;
use super::program::run;
use super::{PAYLOAD, SIGNATURE, Scratch, Signer, Why};
use crate::source::git::command::said;

const PROGRAM: &str = "ssh-keygen";

/// The file of allowed signers.
const ALLOWED: &str = "allowed";

/// What git signs for. A signature of the same bytes for another purpose is none.
const NAMESPACE: &str = "git";

/// Who has signed the payload, if it is one of the keys that are valid now.
pub(super) async fn judge(keys: &Keys, scratch: &Scratch) -> Result<Signer, Why> {
    let key = arithmetic(scratch).await?;
    scratch.put(ALLOWED, keys.allowed_signers().as_bytes())?;
    let found = keygen(scratch, "find-principals", &["-f", ALLOWED]).await?;
    let names = String::from_utf8_lossy(&found.stdout).into_owned();
    let names: Vec<&str> = names.lines().collect();
    if !found.status.success() || names.is_empty() {
        return Err(refusal(&found, &key, Why::UnknownKey { id: key.clone() }));
    }
    let mut last = Why::UnknownKey { id: key.clone() };
    for name in names {
        let arguments = ["-n", NAMESPACE, "-f", ALLOWED, "-I", name];
        let verified = keygen(scratch, "verify", &arguments).await?;
        if !verified.status.success() {
            last = refusal(&verified, &key, Why::UnknownKey { id: key.clone() });
            continue;
        }
        for (index, list) in keys.revoked.iter().enumerate() {
            let file = format!("revoked-{index}");
            scratch.put(&file, list)?;
            let arguments = [&arguments[..], &["-r", &file]].concat();
            // It was good without the list.
            if !keygen(scratch, "verify", &arguments).await?.status.success() {
                return Err(Why::Revoked { id: key });
            }
        }
        return Ok(Signer { name: keys.name(name), key });
    }
    Err(last)
}

/// The fingerprint of the key that has made the signature, which is of the payload and for git; whosever it is.
async fn arithmetic(scratch: &Scratch) -> Result<String, Why> {
    let checked = keygen(scratch, "check-novalidate", &["-n", NAMESPACE]).await?;
    let words = String::from_utf8_lossy(&checked.stdout).into_owned();
    let key = words.split_whitespace().last().filter(|word| word.contains(':'));
    match key.filter(|_| checked.status.success()) {
        Some(key) => Ok(key.to_owned()),
        None => Err(refusal(&checked, "", Why::Bad(reason(&checked)))),
    }
}

async fn keygen(scratch: &Scratch, what: &str, arguments: &[&str]) -> Result<Output, Why> {
    let arguments = [&["-Y", what, "-s", SIGNATURE], arguments].concat();
    run(PROGRAM, &arguments, Some(PAYLOAD), scratch).await
}

/// It says in words why; what the words do not tell is what else it may be.
fn refusal(output: &Output, key: &str, otherwise: Why) -> Why {
    let words = String::from_utf8_lossy(&output.stderr);
    let id = key.to_owned();
    if words.contains("expired") {
        Why::Expired { id }
    } else if words.contains("not yet valid") {
        Why::Early { id }
    } else if words.contains("namespace") {
        Why::Purpose(said(&output.stderr))
    } else if let Some((_, option)) = words.split_once("bad options: ") {
        let problem = format!("the options of a key: {}", option.lines().next().unwrap_or_default());
        Why::Keys { path: "verify.keys".into(), problem }
    } else {
        otherwise
    }
}

fn reason(output: &Output) -> String {
    let words = said(&output.stderr);
    if words.is_empty() { format!("{PROGRAM} ended with {}", output.status) } else { words }
}
