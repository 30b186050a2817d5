//! One server a SQLite file, whatever leads to it; and none on a file that is no longer there.

use std::{fs, os::unix::fs::symlink};

use tempfile::TempDir;

use crate::harness::{Database, Process};

#[tokio::test]
async fn two_data_folders_with_one_file_exclude_each_other() {
    let [files, one, other] = [(); 3].map(|()| TempDir::new().unwrap());
    let file = files.path().join("chat.db");
    let url = format!("sqlite://{}", file.display());
    let server = Process::start(&Database::sqlite(), &one, &[("DATABASE_URL", &url)]).await;
    let [linked, hard] = ["linked.db", "hard.db"].map(|name| files.path().join(name));
    symlink(&file, &linked).unwrap();
    fs::hard_link(&file, &hard).unwrap();
    for path in [&file, &linked, &hard] {
        let url = format!("sqlite://{}", path.display());
        let (code, said) = Process::fail(&Database::sqlite(), &other, &[("DATABASE_URL", &url)]).await;
        assert_eq!((code, said.contains("another process is using")), (75, true), "{said}");
    }
    // An operator beside the server is let in.
    let database = Database::sqlite();
    let arguments = ["room", "list"];
    let (code, _, said) =
        Process::command_with(&database, &one, &arguments, "", &[("DATABASE_URL", &url)]).await;
    assert_eq!(code, 0, "{said}");
    server.kill().await;
    Process::start(&Database::sqlite(), &other, &[("DATABASE_URL", &url)]).await.kill().await;
}

#[tokio::test]
async fn a_deleted_lock_lets_no_second_server_in() {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&Database::sqlite(), &folder, &[]).await;
    fs::remove_file(folder.path().join("lock")).unwrap();
    let (code, said) = Process::fail(&Database::sqlite(), &folder, &[]).await;
    assert_eq!((code, said.contains("another process is using")), (75, true), "{said}");
    server.kill().await;
}

#[tokio::test]
async fn a_server_whose_file_was_moved_deleted_or_replaced_ends_with_75() {
    for replaced in [true, false] {
        let folder = TempDir::new().unwrap();
        let server = Process::start(&Database::sqlite(), &folder, &[]).await;
        let user = server.user().await;
        user.join(&user.create_room().await).await.say("hello").await;
        let file = folder.path().join("grpcchatter.db");
        if replaced {
            let other = folder.path().join("restored.db");
            fs::write(&other, "").unwrap();
            fs::rename(&other, &file).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        let (status, said) = server.wait().await;
        assert_eq!(status.code(), Some(75), "{said}");
        assert!(said.contains("was moved, deleted or replaced while the server ran"), "{said}");
    }
}
