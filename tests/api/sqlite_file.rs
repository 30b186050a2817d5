//! One server a SQLite file, whatever leads to it; and none on a file that is no longer there.

use std::{fs, os::unix::fs::symlink, path::Path};

use sea_orm::ConnectionTrait as _;
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

/// What the start says of a file, and the check, which ends as it does.
async fn refused(path: &Path) -> [String; 2] {
    let (folder, database) = (TempDir::new().unwrap(), Database::sqlite());
    let url = format!("sqlite://{}", path.display());
    let settings = [("DATABASE_URL", url.as_str())];
    let (code, started) = Process::fail(&database, &folder, &settings).await;
    assert_eq!(code, 69, "{started}");
    let check = ["check-config", "--connect"];
    let (code, _, checked) = Process::command_with(&database, &folder, &check, "", &settings).await;
    assert_eq!(code, 69, "{checked}");
    [started, checked]
}

#[tokio::test]
async fn what_is_no_database_is_named_at_the_start_and_by_the_check() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "somebody's notes").unwrap();
    for (path, remedy) in [
        (folder.path().to_owned(), "set DATABASE_URL to a file in it"),
        (text.clone(), "is no SQLite database"),
        (folder.path().join("missing/chat.db"), "make its folder first"),
    ] {
        for said in refused(&path).await {
            assert!(said.contains(remedy) && said.contains(path.to_str().unwrap()), "{said}");
        }
    }
    assert_eq!(fs::read_to_string(text).unwrap(), "somebody's notes");
}

#[tokio::test]
async fn another_program_s_file_is_not_taken_over() {
    let folder = TempDir::new().unwrap();
    for (name, more) in
        [("without", ""), ("with", "CREATE TABLE seaql_migrations (version TEXT, applied_at INTEGER)")]
    {
        let path = folder.path().join(name);
        let operator =
            sea_orm::Database::connect(format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
        for statement in ["CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT)", more] {
            operator.execute_unprepared(statement).await.unwrap();
        }
        for said in refused(&path).await {
            assert!(said.contains("a table notes that this program did not make"), "{said}");
        }
        let tables = "SELECT name FROM sqlite_master WHERE name IN ('accounts', 'meta')";
        let tables = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, tables);
        assert!(operator.query_all_raw(tables).await.unwrap().is_empty());
    }
}
