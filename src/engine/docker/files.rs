//! Files into a container: one archive, unpacked at its root, as Compose sends it.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::query_parameters::UploadToContainerOptionsBuilder;
use tar::{Builder, Header};

use super::Docker;
use super::client::WRITE;
use crate::core::failure::{Failure, FailureKind};
use crate::core::files::{File, Files};
use crate::core::ids::ContainerId;

pub(super) async fn copy(docker: &Docker, id: &ContainerId, files: &Files) -> Result<(), Failure> {
    let call = format!("copy files into container {}", id.short());
    let refused = |error: io::Error| Failure::new(FailureKind::Invalid, &call, error);
    let archive = bytes::Bytes::from(archive(files).map_err(refused)?);
    let mut options = UploadToContainerOptionsBuilder::new().path("/").no_overwrite_dir_non_dir("true");
    if files.iter().any(|(_, file)| file.owner.is_some()) {
        options = options.copy_uidgid("true");
    }
    let options = options.build();
    docker
        .call(&call, WRITE, async |client| {
            client.upload_to_container(id.as_str(), Some(options), bollard::body_full(archive)).await
        })
        .await
}

fn archive(files: &Files) -> io::Result<Vec<u8>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut archive = Builder::new(Vec::new());
    for (target, file) in files.iter() {
        let content = file.content.expose().as_bytes();
        let mut header = header(file, now);
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        // Unpacked at the root: a path that starts there leads to the same place.
        archive.append_data(&mut header, target.trim_start_matches('/'), content)?;
    }
    archive.into_inner()
}

fn header(file: &File, now: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(file.mode);
    header.set_mtime(now);
    header.set_uid(file.owner.map_or(0, |owner| owner.uid.into()));
    header.set_gid(file.owner.map_or(0, |owner| owner.gid.into()));
    header
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;
    use crate::core::files::Owner;
    use crate::secret::Secret;

    #[test]
    fn an_archive_has_each_file_with_its_mode_and_owner() {
        let file = |mode, owner| File { content: Secret::new("content"), mode, owner };
        let long = format!("/deep/{}/file", "directory".repeat(20));
        let files = BTreeMap::from([
            ("/run/secrets/a".to_owned(), file(0o444, None)),
            (long.clone(), file(0o400, Some(Owner { uid: 1_000, gid: 7 }))),
        ]);
        let bytes = archive(&Files::new("salt", files)).unwrap();
        let mut found = Vec::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            let rights = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
            found.push((format!("/{}", entry.path().unwrap().display()), rights, content));
        }
        let content = || "content".to_owned();
        assert_eq!(
            found,
            [(long, (0o400, 1_000, 7), content()), ("/run/secrets/a".to_owned(), (0o444, 0, 0), content())]
        );
    }
}
