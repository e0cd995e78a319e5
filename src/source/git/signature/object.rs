//! Commits and tags, taken apart into what is signed and the signature.

use super::Why;

/// What is signed, and with what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub payload: Vec<u8>,
    pub signature: Vec<u8>,
    pub format: Format,
}

/// Signatures that are judged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenPgp,
    Ssh,
}

/// What a tag says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TagHead {
    pub object: String,
    pub kind: String,
    pub name: String,
}

/// Each signature begins with a line of these.
const OPENPGP: &str = "-----BEGIN PGP SIGNATURE-----";
const SSH: &str = "-----BEGIN SSH SIGNATURE-----";
const OTHERS: &[&str] = &["-----BEGIN PGP MESSAGE-----", "-----BEGIN SIGNED MESSAGE-----"];

/// A commit: signed is all of it but the header with the signature.
pub(super) fn commit(object: &[u8], hash: &str) -> Result<Signed, Why> {
    let own = own_header(hash);
    let (mut payload, mut signature, mut headers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut is_head, mut is_signature) = (true, false);
    for line in object.split_inclusive(|byte| *byte == b'\n') {
        is_head &= line != b"\n";
        if is_head && is_signature && line.starts_with(b" ") {
            signature.extend_from_slice(&line[1..]);
            continue;
        }
        let (name, value) = split(line);
        is_signature = is_head && name.starts_with(b"gpgsig");
        if is_signature {
            headers.push(name);
            signature.extend_from_slice(value);
        } else {
            payload.extend_from_slice(line);
        }
    }
    match headers[..] {
        [] => Err(Why::Unsigned),
        [name] if name == own.as_bytes() => signed(payload, signature),
        [_] => Err(Why::Bad("it is for another kind of hash".to_owned())),
        [..] => Err(Why::Bad("there are several".to_owned())),
    }
}

/// A tag: signed is all before the last line that begins a signature, as git itself finds it.
pub(super) fn tag(object: &[u8]) -> (TagHead, Result<Signed, Why>) {
    let header = |wanted: &[u8]| {
        let mut lines = object.split_inclusive(|byte| *byte == b'\n').take_while(|line| *line != b"\n");
        let value = lines.find_map(|line| Some(split(line)).filter(|(name, _)| *name == wanted));
        String::from_utf8_lossy(value.unwrap_or_default().1).trim_end().to_owned()
    };
    let head = TagHead { object: header(b"object"), kind: header(b"type"), name: header(b"tag") };
    let (mut at, mut begin, mut is_head, mut is_doubled) = (0, None, true, false);
    for line in object.split_inclusive(|byte| *byte == b'\n') {
        is_head &= line != b"\n";
        is_doubled |= is_head && line.starts_with(b"gpgsig");
        if [OPENPGP, SSH].iter().chain(OTHERS).any(|begin| line.starts_with(begin.as_bytes())) {
            begin = Some(at);
        }
        at += line.len();
    }
    let result = match begin {
        None => Err(Why::Unsigned),
        Some(_) if is_doubled => Err(Why::Bad("there are several".to_owned())),
        Some(begin) => signed(object[..begin].to_owned(), object[begin..].to_owned()),
    };
    (head, result)
}

/// The header that has a commit's signature, by the length of hashes in its repository.
fn own_header(hash: &str) -> &'static str {
    if hash.len() == 64 { "gpgsig-sha256" } else { "gpgsig" }
}

fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let space = line.iter().position(|byte| *byte == b' ');
    space.map_or((line.trim_ascii_end(), &[][..]), |space| (&line[..space], &line[space + 1..]))
}

/// The two, where there is exactly one signature and nothing around it.
fn signed(payload: Vec<u8>, signature: Vec<u8>) -> Result<Signed, Why> {
    let none = || Why::Bad("it does not have the form of one".to_owned());
    let text = std::str::from_utf8(&signature).map_err(|_| none())?;
    let first = text.lines().next().unwrap_or_default();
    let (format, end) = match first {
        OPENPGP => (Format::OpenPgp, "-----END PGP SIGNATURE-----"),
        SSH => (Format::Ssh, "-----END SSH SIGNATURE-----"),
        "-----BEGIN SIGNED MESSAGE-----" => return Err(Why::Foreign),
        _ => return Err(none()),
    };
    if text.lines().filter(|line| line.starts_with("-----BEGIN ")).count() > 1 {
        return Err(Why::Bad("there are several".to_owned()));
    }
    if text.trim_end().lines().last() != Some(end) {
        return Err(none());
    }
    Ok(Signed { payload, signature, format })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "tree 1\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n";
    const SHA1: &str = "0123456789abcdef0123456789abcdef01234567";

    fn armour(kind: &str, indent: &str) -> String {
        format!("-----BEGIN {kind}-----\n{indent}\n{indent}abcd\n{indent}-----END {kind}-----\n{indent}")
    }

    fn header(name: &str, kind: &str) -> String {
        format!("{name} {}\n", armour(kind, " ").trim_end())
    }

    fn judged(object: &str, hash: &str) -> String {
        match commit(object.as_bytes(), hash) {
            Ok(signed) => format!("{:?} of {}", signed.format, String::from_utf8_lossy(&signed.payload)),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn what_is_signed_of_a_commit_is_all_but_its_one_signature() {
        let (pgp, ssh) = (header("gpgsig", "PGP SIGNATURE"), header("gpgsig", "SSH SIGNATURE"));
        let (x509, other) = (header("gpgsig", "SIGNED MESSAGE"), header("gpgsig-sha256", "PGP SIGNATURE"));
        let sha256 = SHA1.repeat(2)[..64].to_owned();
        let plain = format!("{HEAD}\nHello\n");
        let several = "its signature is not good: there are several";
        let none = "its signature is not good: it does not have the form of one";
        for (object, hash, expected) in [
            (plain.clone(), SHA1, "it is not signed"),
            (format!("{HEAD}\n{pgp}"), SHA1, "it is not signed"),
            (format!("{HEAD}{pgp}\nHello\n"), SHA1, &*format!("OpenPgp of {plain}")),
            (format!("{HEAD}{ssh}\nHello\n"), SHA1, &*format!("Ssh of {plain}")),
            (
                format!("{HEAD}{ssh}encoding x\n\n gap\n"),
                SHA1,
                &*format!("Ssh of {HEAD}encoding x\n\n gap\n"),
            ),
            (format!("{HEAD}{x509}\nHello\n"), SHA1, "its signature is of X.509, which is not judged here"),
            (format!("{HEAD}{pgp}{pgp}\n"), SHA1, several),
            (format!("{HEAD}{pgp}{other}\n"), SHA1, several),
            (format!("{HEAD}{other}\n"), SHA1, "its signature is not good: it is for another kind of hash"),
            (format!("{HEAD}{other}\nHello\n"), &*sha256, &*format!("OpenPgp of {plain}")),
            (format!("{HEAD}gpgsig garbage\n\nHello\n"), SHA1, none),
            (format!("{HEAD}gpgsig\n\nHello\n"), SHA1, none),
            (format!("{HEAD}{pgp} more\n\n"), SHA1, none),
            (format!("{HEAD}{pgp} {}\n\n", armour("PGP SIGNATURE", " ").trim_end()), SHA1, several),
        ] {
            assert_eq!(judged(&object, hash), expected, "{object}");
        }
    }

    #[test]
    fn a_tag_is_signed_up_to_its_last_signature() {
        let head = format!("object {SHA1}\ntype commit\ntag v1\ntagger A <a> 1 +0000\n");
        let signature = armour("SSH SIGNATURE", "");
        let (said, signed) = tag(format!("{head}\nv1\n{signature}").as_bytes());
        assert_eq!(said, TagHead { object: SHA1.into(), kind: "commit".into(), name: "v1".into() });
        let signed = signed.unwrap();
        assert_eq!(signed.payload, format!("{head}\nv1\n").as_bytes());
        assert_eq!(signed.signature, signature.as_bytes());
        let judged = |object: String| tag(object.as_bytes()).1.map(|it| it.payload);
        assert!(matches!(judged(format!("{head}\nv1\n")), Err(Why::Unsigned)));
        let quoted = format!("{head}\n{signature}");
        assert_eq!(judged(format!("{quoted}{signature}")).unwrap(), quoted.as_bytes(), "the first is quoted");
        assert!(matches!(judged(format!("{head}\nv1\n{signature}more\n")), Err(Why::Bad(_))));
        let doubled = header("gpgsig-sha256", "SSH SIGNATURE");
        assert!(matches!(judged(format!("{head}{doubled}\nv1\n{signature}")), Err(Why::Bad(_))));
        // What the message says is no header.
        assert_eq!(tag(b"object a\n\ntag v2\n").0.name, "");
    }
}
