//! The facts about the machine on which the figures depend.

use std::{fs, path::Path, process::Command, thread};

use anyhow::Result;

/// Returns a line about the machine, its kernel, the compiler and the program under test.
///
/// # Errors
/// If the system does not provide them.
pub(crate) fn facts(program: &Path) -> Result<String> {
    let cores = thread::available_parallelism()?;
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc
        .map_or_else(|_| "rustc unknown".into(), |run| String::from_utf8_lossy(&run.stdout).into_owned());
    let size = fs::metadata(program)?.len() as f64 / 1e6;
    Ok(format!(
        "{cores} cores ({}), Linux {}, {}, binary {size:.1} MB",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim(),
        rustc.trim(),
    ))
}
