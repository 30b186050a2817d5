//! Only one server may use a SQLite file, by whatever path, and a server stops when its file is gone.

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
        let (code, stderr) = Process::fail(&Database::sqlite(), &other, &[("DATABASE_URL", &url)]).await;
        assert_eq!((code, stderr.contains("another process is using")), (75, true), "{stderr}");
    }
    // An operator's command may use it while the server runs.
    let database = Database::sqlite();
    let arguments = ["room", "list"];
    let (code, _, stderr) =
        Process::command_with(&database, &one, &arguments, "", &[("DATABASE_URL", &url)]).await;
    assert_eq!(code, 0, "{stderr}");
    server.kill().await;
    Process::start(&Database::sqlite(), &other, &[("DATABASE_URL", &url)]).await.kill().await;
}

#[tokio::test]
async fn a_second_server_is_refused_though_the_lock_file_was_deleted() {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&Database::sqlite(), &folder, &[]).await;
    fs::remove_file(folder.path().join("lock")).unwrap();
    let (code, stderr) = Process::fail(&Database::sqlite(), &folder, &[]).await;
    assert_eq!((code, stderr.contains("another process is using")), (75, true), "{stderr}");
    server.kill().await;
}

#[tokio::test]
async fn a_server_whose_file_was_moved_deleted_or_replaced_exits_with_75() {
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
        let (status, stderr) = server.wait().await;
        assert_eq!(status.code(), Some(75), "{stderr}");
        assert!(stderr.contains("was moved, deleted or replaced while the server ran"), "{stderr}");
    }
}

/// Returns the errors of the start and of `check-config` on a file. Both exit with 69.
async fn errors(path: &Path) -> [String; 2] {
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
async fn a_path_that_is_no_database_is_reported_at_start_and_by_check_config() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "somebody's notes").unwrap();
    for (path, remedy) in [
        (folder.path().to_owned(), "set DATABASE_URL to a file in it"),
        (text.clone(), "is no SQLite database"),
        (folder.path().join("missing/chat.db"), "make its folder first"),
    ] {
        for stderr in errors(&path).await {
            assert!(stderr.contains(remedy) && stderr.contains(path.to_str().unwrap()), "{stderr}");
        }
    }
    assert_eq!(fs::read_to_string(text).unwrap(), "somebody's notes");
}

#[tokio::test]
async fn the_file_of_another_program_stays_unchanged() {
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
        for stderr in errors(&path).await {
            assert!(stderr.contains("a table notes that this program did not make"), "{stderr}");
        }
        let tables = "SELECT name FROM sqlite_master WHERE name IN ('accounts', 'meta')";
        let tables = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, tables);
        assert!(operator.query_all_raw(tables).await.unwrap().is_empty());
    }
}
