//! Finds the programs that some tests need and a machine may lack. `tests/coverage.rs` reads it too, and
//! says what was left out.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Returns the folder of PostgreSQL's programs: one in PATH first, then the newest that Debian installed.
pub(crate) fn postgres() -> Option<PathBuf> {
    let whole = |folder: &Path| folder.join("postgres").is_file() && folder.join("initdb").is_file();
    in_path("postgres")
        .and_then(|program| fs::canonicalize(program).ok())
        .and_then(|program| program.parent().map(Path::to_owned))
        .filter(|folder| whole(folder))
        .or_else(|| {
            let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
            versions
                .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
                .map(|(version, path)| (version, path.join("bin")))
                .filter(|(_, folder)| whole(folder))
                .max()
                .map(|(_, folder)| folder)
        })
}

/// Returns the program of that name in the folders of PATH, or in the one of root's programs, which other people's PATH may
/// lack.
pub(crate) fn in_path(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = name.as_ref();
    env::split_paths(&env::var_os("PATH")?)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
