//! OpenPGP signatures, judged by `gpg` with a keyring of our own, which is made anew for each.

use super::keys::Keys;
use super::program::run;
use super::{PAYLOAD, SIGNATURE, Scratch, Signer, Why};
use crate::source::git::command::said;

const PROGRAM: &str = "gpg";

/// Where the ring is.
const HOME: &str = "gnupg";

/// Nothing is asked, fetched or started: `gpg` needs no agent for public keys.
const ALWAYS: &[&str] = &[
    "--homedir",
    HOME,
    "--no-options",
    "--batch",
    "--no-tty",
    "--no-autostart",
    "--disable-dirmngr",
    "--no-auto-key-retrieve",
    "--no-auto-check-trustdb",
    "--status-fd",
    "1",
];

/// Hashes for which two texts of one hash are made: MD5, SHA-1 and RIPEMD-160, as OpenPGP numbers them.
const BROKEN_HASHES: &[&str] = &["1", "2", "3"];

/// Who has signed the payload, if it is one of the keys that are valid now.
pub(super) async fn judge(keys: &Keys, scratch: &Scratch) -> Result<Signer, Why> {
    scratch.directory(HOME)?;
    let trusted = import(keys, scratch).await?;
    // All the keys in the ring are trusted: there are no others.
    let all = ["--trust-model", "always"];
    let arguments = [ALWAYS, &all, &["--verify", "--", SIGNATURE, PAYLOAD]].concat();
    let output = run(PROGRAM, &arguments, None, scratch).await?;
    let signer = parse(&String::from_utf8_lossy(&output.stdout))?;
    if !output.status.success() {
        return Err(Why::Bad(said(&output.stderr)));
    }
    if !trusted.contains(&signer.key) {
        return Err(Why::UnknownKey { id: signer.key });
    }
    Ok(signer)
}

/// Puts the keys into the ring, and gives the fingerprints of those that are in it.
async fn import(keys: &Keys, scratch: &Scratch) -> Result<Vec<String>, Why> {
    let mut files = Vec::new();
    for (index, (path, content)) in keys.openpgp.iter().enumerate() {
        let name = format!("key-{index}");
        scratch.put(&name, content)?;
        files.push((path, name));
    }
    let Some((path, _)) = files.first() else { return Ok(Vec::new()) };
    let names = files.iter().map(|(_, name)| name.as_str());
    let arguments: Vec<&str> = ALWAYS.iter().copied().chain(["--import", "--"]).chain(names).collect();
    // Twice: a revocation is not taken before the key that it is of is there.
    run(PROGRAM, &arguments, None, scratch).await?;
    let output = run(PROGRAM, &arguments, None, scratch).await?;
    if !output.status.success() {
        let problem = format!("gpg does not take it, or one after it: {}", said(&output.stderr));
        return Err(Why::Keys { path: (*path).clone(), problem });
    }
    let status = String::from_utf8_lossy(&output.stdout).into_owned();
    let taken = lines(&status).filter(|(word, _)| *word == "IMPORT_OK");
    Ok(taken.filter_map(|(_, rest)| Some(rest.split(' ').nth(1)?.to_owned())).collect())
}

/// The lines that are for programs: a word each, and what follows it.
fn lines(status: &str) -> impl Iterator<Item = (&str, &str)> {
    let ours = status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] "));
    ours.map(|line| line.split_once(' ').unwrap_or((line, "")))
}

/// Who has signed: there is one signature, and nothing is said against it.
fn parse(status: &str) -> Result<Signer, Why> {
    let all = |wanted: &'static str| lines(status).filter(move |(word, _)| *word == wanted);
    let id = |word: &'static str| {
        all(word).next().map(|(_, rest)| rest.split(' ').next().unwrap_or_default().to_owned())
    };
    if all("NEWSIG").count() > 1 {
        return Err(Why::Bad("there are several".to_owned()));
    }
    if id("BADSIG").is_some() {
        return Err(Why::Bad("it is of something else".to_owned()));
    }
    if let Some(id) = id("REVKEYSIG") {
        return Err(Why::Revoked { id });
    }
    if let Some(id) = id("EXPKEYSIG").or_else(|| id("EXPSIG")) {
        return Err(Why::Expired { id });
    }
    if let Some(id) = id("NO_PUBKEY") {
        return Err(Why::UnknownKey { id });
    }
    let (good, valid): (Vec<_>, Vec<_>) = (all("GOODSIG").collect(), all("VALIDSIG").collect());
    let ([(_, good)], [(_, valid)], 0) = (&good[..], &valid[..], all("ERRSIG").count()) else {
        return Err(Why::Bad("gpg cannot make anything of it".to_owned()));
    };
    let fields: Vec<&str> = valid.split(' ').collect();
    let [_, _, _, _, _, _, _, hash, class, primary] = fields[..] else {
        return Err(Why::Bad("gpg says of it what is not understood".to_owned()));
    };
    if BROKEN_HASHES.contains(&hash) {
        return Err(Why::Bad("it is of a hash that is broken (MD5, SHA-1 or RIPEMD-160)".to_owned()));
    }
    // Of a document: other classes are of keys and the like.
    if !["00", "01"].contains(&class) {
        return Err(Why::Bad(format!("it is not one of a document but of class {class}")));
    }
    let name = good.split_once(' ').map_or("nobody", |(_, name)| name);
    Ok(Signer { name: name.to_owned(), key: primary.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GOODSIG AB Ann <ann@x>";

    fn valid(hash: u8, class: &str) -> String {
        format!("VALIDSIG SUB 2026-11-30 1796034816 0 4 0 22 {hash} {class} PRIMARY")
    }

    fn judged(lines: &[&str]) -> String {
        let status = format!("[GNUPG:] {}", lines.join("\n[GNUPG:] "));
        parse(&status).map_or_else(|why| why.to_string(), |signer| signer.to_string())
    }

    #[test]
    fn one_good_signature_with_nothing_said_against_it_is_trusted_and_nothing_else() {
        let fine = valid(8, "00");
        let several = "its signature is not good: there are several";
        let nothing = "its signature is not good: gpg cannot make anything of it";
        for (lines, expected) in [
            (vec!["NEWSIG", GOOD, &fine, "TRUST_UNDEFINED"], "Ann <ann@x> (PRIMARY)"),
            (vec!["NEWSIG", "KEYEXPIRED 1", GOOD, &fine], "Ann <ann@x> (PRIMARY)"),
            (vec!["NEWSIG", GOOD, &fine, "NEWSIG", GOOD, &fine], several),
            (vec!["NEWSIG", GOOD, GOOD, &fine], nothing),
            (vec!["NEWSIG", GOOD], nothing),
            (vec!["NEWSIG", &fine], nothing),
            (vec![], nothing),
            (vec!["NEWSIG", GOOD, &fine, "ERRSIG AB 22 8 00 1 4"], nothing),
            (vec!["NEWSIG", "ERRSIG AB 22 8 00 1 4"], nothing),
            (vec!["NEWSIG", "BADSIG AB Ann"], "its signature is not good: it is of something else"),
            (vec!["NEWSIG", GOOD, &fine, "REVKEYSIG AB Ann"], "the key has been revoked: AB"),
            (
                vec!["NEWSIG", "EXPKEYSIG AB Ann", &fine],
                "the time of the key or of the signature is over: AB",
            ),
            (vec!["NEWSIG", "EXPSIG AB Ann", &fine], "the time of the key or of the signature is over: AB"),
            (
                vec!["NEWSIG", "ERRSIG AB 22 8 00 1 9", "NO_PUBKEY AB"],
                "it is signed with AB, which is none of the trusted keys",
            ),
            (
                vec!["NEWSIG", GOOD, &valid(2, "00")],
                "its signature is not good: it is of a hash that is broken (MD5, SHA-1 or RIPEMD-160)",
            ),
            (
                vec!["NEWSIG", GOOD, &valid(8, "10")],
                "its signature is not good: it is not one of a document but of class 10",
            ),
            (
                vec!["NEWSIG", GOOD, "VALIDSIG AB"],
                "its signature is not good: gpg says of it what is not understood",
            ),
        ] {
            assert_eq!(judged(&lines), expected, "{lines:?}");
        }
        // What is not for programs is not read.
        assert!(parse(&format!("{GOOD}\n{fine}\n")).is_err());
    }
}
