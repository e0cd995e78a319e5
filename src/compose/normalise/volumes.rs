//! Mounts of the short form: `[SOURCE:]TARGET[:OPTIONS]`.

/// What is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume.
    #[default]
    Volume,
    /// A volume without even empty options: what the reference makes of the shortest targets, which
    /// counts for the hash.
    BareVolume,
}

/// A mount of the short form, spelled out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShortMount {
    /// What is mounted.
    pub(crate) kind: MountKind,
    /// A path or the key of a volume; empty for an anonymous volume.
    pub(crate) source: String,
    /// The path in the container.
    pub(crate) target: String,
    /// Whether it is read-only.
    pub(crate) read_only: bool,
    /// Whether the content of the image is left out.
    pub(crate) nocopy: bool,
    /// `z` or `Z`.
    pub(crate) selinux: Option<String>,
    /// The propagation of a bind.
    pub(crate) propagation: Option<String>,
}

/// Spells out a mount.
pub(crate) fn parse_mount(spec: &str) -> Result<ShortMount, String> {
    if spec.is_empty() {
        return Err("invalid empty volume spec".to_owned());
    }
    if spec.len() <= 2 {
        return Ok(ShortMount {
            target: spec.to_owned(),
            kind: MountKind::BareVolume,
            ..ShortMount::default()
        });
    }
    let mut mount = ShortMount::default();
    let sections = sections(spec);
    let last = sections.len() - 1;
    for (position, section) in sections.iter().enumerate() {
        if section.is_empty() {
            return Err(format!("invalid spec: {spec}: empty section between colons"));
        }
        match position {
            0 if position == last => mount.target.clone_from(section),
            0 => mount.source.clone_from(section),
            1 => mount.target.clone_from(section),
            2 => section.split(',').for_each(|option| mount.apply(option)),
            _ => return Err(format!("invalid spec: {spec}: too many colons")),
        }
    }
    if is_path(&mount.source) {
        mount.kind = MountKind::Bind;
    }
    Ok(mount)
}

impl ShortMount {
    /// Unknown options are ignored, as the reference does.
    fn apply(&mut self, option: &str) {
        match option {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nocopy" => self.nocopy = true,
            "z" | "Z" => self.selinux = Some(option.to_owned()),
            "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
                self.propagation = Some(option.to_owned());
            }
            _ => {}
        }
    }
}

/// The sections between colons; a single letter keeps its colon, as the drive of a Windows path.
fn sections(spec: &str) -> Vec<String> {
    let mut sections = vec![String::new()];
    for c in spec.chars() {
        let Some(current) = sections.last_mut() else { continue };
        let mut letters = current.chars();
        let is_drive = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
        if c == ':' && !is_drive {
            sections.push(String::new());
        } else {
            current.push(c);
        }
    }
    sections
}

/// True for a path of the host, as opposed to the key of a volume.
fn is_path(source: &str) -> bool {
    let mut chars = source.chars();
    match (chars.next(), chars.next()) {
        (Some('.' | '/' | '~'), _) | (Some('\\'), Some('\\')) => true,
        (Some(first), Some(':')) => first.is_alphabetic(),
        _ => false,
    }
}

/// A target without `.`, `..` and doubled slashes, by the text alone.
pub(crate) fn clean_target(target: &str) -> String {
    let rooted = target.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_spelled_out() {
        let table = [
            ("./a:/b:ro,z", MountKind::Bind, "./a", "/b"),
            ("vol:/b:nocopy", MountKind::Volume, "vol", "/b"),
            ("/anon", MountKind::Volume, "", "/anon"),
            ("/a", MountKind::BareVolume, "", "/a"),
            (r"C:\x:/b:ro", MountKind::Bind, r"C:\x", "/b"),
            ("v:/v", MountKind::Volume, "", "v:/v"),
        ];
        for (spec, kind, source, target) in table {
            let mount = parse_mount(spec).unwrap();
            assert_eq!((mount.kind, mount.source.as_str(), mount.target.as_str()), (kind, source, target));
        }
        for refused in ["", "vol:", ":/a", "vol:/a::x", "vol:/a:ro:rw"] {
            assert!(parse_mount(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn targets_are_cleaned() {
        for (target, cleaned) in
            [("/a/", "/a"), ("/a/../b//c/.", "/b/c"), ("/..", "/"), ("a/../..", ".."), ("", ".")]
        {
            assert_eq!(clean_target(target), cleaned);
        }
    }
}
