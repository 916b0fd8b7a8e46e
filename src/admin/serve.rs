//! The admin socket: nobody but its owner can ever connect, not even while it is being made.

use std::fs::{DirBuilder, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::Router;
use tokio::net::{UnixListener, UnixStream};

use crate::clock::random_bytes;

/// A bound socket; its file goes when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    pub(super) file: File,
}

/// Takes the socket's file away, unless another server has put its own there.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    inode: u64,
}

impl Drop for File {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            // Nothing to do about a failure: the next start takes a dead socket away.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Serves `router` on a Unix socket with mode 0600 until the future is dropped.
///
/// # Errors
/// Another server answers on the path, something that is no socket stands there, or the file cannot be made.
pub async fn serve_socket(path: &Path, router: Router) -> io::Result<impl Future<Output = io::Result<()>> + use<>> {
    let Socket { listener, file } = bind_socket(path).await?;
    Ok(async move {
        let _removed_at_the_end = file;
        axum::serve(listener, router).await
    })
}

/// Makes the socket. `bind` gives a file the process's umask, and the kernel takes connections from then on; so it is
/// made in a directory that only we can enter, gets its mode there, and is then moved to its place.
///
/// # Errors
/// Another server answers on the path, something that is no socket stands there, or the file cannot be made.
pub(super) async fn bind_socket(path: &Path) -> io::Result<Socket> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    remove_dead_socket(path).await?;
    let random = random_bytes::<4>().map_err(io::Error::other)?;
    let nursery = parent.join(format!(".{:08x}", u32::from_ne_bytes(random)));
    DirBuilder::new().mode(0o700).create(&nursery)?;
    let made = bind_and_move(&nursery.join("s"), path);
    let removed = std::fs::remove_dir_all(&nursery);
    let listener = made?;
    removed?;
    let inode = std::fs::symlink_metadata(path)?.ino();
    Ok(Socket { listener, file: File { path: path.to_owned(), inode } })
}

fn bind_and_move(made_at: &Path, path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(made_at)?;
    std::fs::set_permissions(made_at, Permissions::from_mode(0o600))?;
    std::fs::rename(made_at, path)?;
    Ok(listener)
}

async fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let refuse = |kind, what: &str| Err(io::Error::new(kind, format!("{}: {what}", path.display())));
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            refuse(io::ErrorKind::AlreadyExists, "is in the way and is no socket")
        }
        Ok(_) => match UnixStream::connect(path).await {
            Ok(_) => refuse(io::ErrorKind::AddrInUse, "another server answers on this socket"),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
        },
    }
}
