//! Finds programs that a machine may lack, and those that were built with the running one.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Returns the program of this name in PATH, or in `/usr/sbin`, which is not in everybody's PATH.
pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = name.as_ref();
    env::split_paths(&env::var_os("PATH")?)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// Returns the folder of PostgreSQL's programs: the one in PATH, otherwise the newest that Debian has installed.
pub(crate) fn postgres() -> Option<PathBuf> {
    let is_complete = |folder: &Path| folder.join("postgres").is_file() && folder.join("initdb").is_file();
    let in_path = find_program("postgres").and_then(|program| fs::canonicalize(program).ok());
    let in_path = in_path.and_then(|program| Some(program.parent()?.to_owned()));
    in_path.filter(|folder| is_complete(folder)).or_else(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        versions
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
            .map(|(version, path)| (version, path.join("bin")))
            .filter(|(_, folder)| is_complete(folder))
            .max()
            .map(|(_, folder)| folder)
    })
}

/// Returns where cargo puts a program of the workspace that it builds in the profile of this one. It need not exist.
///
/// # Errors
/// If the path of this program is not known.
pub fn built_program(name: &str) -> Result<PathBuf> {
    let this = env::current_exe()?;
    let folder = this.parent().context("this program has no folder")?;
    // Tests are in a folder of their own.
    let folder = folder.parent().filter(|_| folder.ends_with("deps")).unwrap_or(folder);
    Ok(folder.join(format!("{name}{}", env::consts::EXE_SUFFIX)))
}

/// Lets this process and its children open as many files as the system allows: each connection is a file.
///
/// # Errors
/// If the system refuses.
pub fn raise_file_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
