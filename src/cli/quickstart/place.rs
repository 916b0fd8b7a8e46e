//! Where the demonstration lives on disk, and how `quickstart token` finds a running one.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::clock;

/// The directory of one demonstration; a temporary one goes when this is dropped.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    temporary: bool,
}

impl Place {
    /// A fresh directory that only this user can open.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary() -> io::Result<Place> {
        let root = std::env::temp_dir().join(format!("countersign-quickstart-{}", random_name()?));
        fs::DirBuilder::new().mode(0o700).create(&root)?;
        Ok(Place { root: root.canonicalize()?, temporary: true })
    }

    /// A directory that stays; it is made when missing.
    ///
    /// # Errors
    /// When it cannot be made, or holds a configuration that a quickstart did not write.
    pub fn kept(root: &Path) -> io::Result<Place> {
        fs::DirBuilder::new().mode(0o700).recursive(true).create(root)?;
        let place = Place { root: root.canonicalize()?, temporary: false };
        match fs::read_to_string(place.config_file()) {
            Ok(text) if !text.starts_with(super::files::MARK) => Err(io::Error::other(format!(
                "{} was not written by `countersign quickstart`; choose another --data directory",
                place.config_file().display()
            ))),
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault),
            _ => Ok(place),
        }
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the directory goes when the demonstration ends.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// The broker's configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.root.join("countersign.yaml")
    }

    /// The broker's admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.root.join("data").join("admin.sock")
    }

    /// Where the running demonstration hands out assertions.
    #[must_use]
    pub fn token_socket(&self) -> PathBuf {
        token_socket(&self.root)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary
            && let Err(fault) = fs::remove_dir_all(&self.root)
        {
            tracing::warn!("{} is left behind: {fault}", self.root.display());
        }
    }
}

/// The socket of the demonstration in this directory.
#[must_use]
pub fn token_socket(root: &Path) -> PathBuf {
    root.join("quickstart.sock")
}

/// Tells later `quickstart token` commands of this user where the demonstration is, until it is dropped.
#[derive(Debug)]
pub struct Pointer {
    file: PathBuf,
    root: PathBuf,
}

impl Pointer {
    /// Writes the pointer, mode 0600, over that of an earlier demonstration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(runtime: Option<&Path>, place: &Place) -> io::Result<Pointer> {
        let file = pointer_file(runtime)?;
        let fresh = file.with_extension(random_name()?);
        let mut options = fs::OpenOptions::new();
        let mut written = options.write(true).create_new(true).mode(0o600).open(&fresh)?;
        io::Write::write_all(&mut written, place.root().as_os_str().as_encoded_bytes())?;
        fs::rename(&fresh, &file)?;
        Ok(Pointer { file, root: place.root().to_owned() })
    }

    /// The directory of the running demonstration, if the pointer is this user's own.
    ///
    /// # Errors
    /// When there is none, or another user made it.
    pub fn read(runtime: Option<&Path>) -> io::Result<PathBuf> {
        let file = pointer_file(runtime)?;
        let found = fs::symlink_metadata(&file)?;
        if !found.is_file() || found.uid() != own_user_id()? {
            return Err(io::Error::other(format!("{} is not this user's own file", file.display())));
        }
        fs::read_to_string(&file).map(PathBuf::from)
    }
}

impl Drop for Pointer {
    /// A later demonstration may have pointed it at itself.
    fn drop(&mut self) {
        let ours = fs::read_to_string(&self.file).is_ok_and(|root| Path::new(&root) == self.root);
        if ours && let Err(fault) = fs::remove_file(&self.file) {
            tracing::warn!("{} is left behind: {fault}", self.file.display());
        }
    }
}

fn pointer_file(runtime: Option<&Path>) -> io::Result<PathBuf> {
    let directory = runtime.filter(|path| path.is_dir()).map_or_else(std::env::temp_dir, Path::to_owned);
    Ok(directory.join(format!("countersign-quickstart-{}.at", own_user_id()?)))
}

/// The user id of files this process makes, asked of such a file: the standard library has no other way.
pub(super) fn own_user_id() -> io::Result<u32> {
    let probe = std::env::temp_dir().join(format!("countersign-probe-{}", random_name()?));
    fs::DirBuilder::new().mode(0o700).create(&probe)?;
    let made = fs::symlink_metadata(&probe);
    fs::remove_dir(&probe)?;
    Ok(made?.uid())
}

fn random_name() -> io::Result<String> {
    let random = clock::random_bytes::<8>().map_err(io::Error::other)?;
    Ok(format!("{:016x}", u64::from_be_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_place_is_private_and_goes_and_its_pointer_with_it() {
        let runtime = tempfile::tempdir().unwrap();
        let place = Place::temporary().unwrap();
        let root = place.root().to_owned();
        assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
        let pointer = Pointer::write(Some(runtime.path()), &place).unwrap();
        assert_eq!(Pointer::read(Some(runtime.path())).unwrap(), root);
        assert_eq!(fs::metadata(&pointer.file).unwrap().mode() & 0o777, 0o600);
        drop((pointer, place));
        assert!(!root.exists());
        assert!(Pointer::read(Some(runtime.path())).is_err());
    }

    #[test]
    fn a_pointer_that_a_later_quickstart_took_over_stays() {
        let runtime = tempfile::tempdir().unwrap();
        let (early, late) = (Place::temporary().unwrap(), Place::temporary().unwrap());
        let first = Pointer::write(Some(runtime.path()), &early).unwrap();
        let second = Pointer::write(Some(runtime.path()), &late).unwrap();
        drop(first);
        assert_eq!(Pointer::read(Some(runtime.path())).unwrap(), late.root());
        drop(second);
    }

    #[test]
    fn a_configuration_of_somebody_elses_is_never_written_over() {
        let kept = tempfile::tempdir().unwrap();
        let place = Place::kept(kept.path()).unwrap();
        fs::write(place.config_file(), "issuer: https://broker.example.com\n").unwrap();
        assert!(Place::kept(kept.path()).unwrap_err().to_string().contains("--data"));
        fs::write(place.config_file(), format!("{}\n", super::super::files::MARK)).unwrap();
        assert!(Place::kept(kept.path()).is_ok());
    }
}
