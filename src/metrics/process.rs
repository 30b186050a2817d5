//! Prometheus' standard metrics of a process, from Linux' /proc. Those that cannot be read are left out.

use std::fs;

use super::text::Text;

/// The unit in which Linux reports times to programs (USER_HZ), which is 100 per second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn write(text: &mut Text) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses. It may hold anything, so the fields after it are read.
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    // proc_pid_stat(5) numbers the fields from 1, and the first two are cut off.
    let field = |number: usize| fields.get(number - 3).copied();
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        let seconds = (user + system) / TICKS_PER_SECOND;
        text.total("process_cpu_seconds_total", "CPU time, of users and of the system", seconds);
    }
    if let (Some(started), Some(booted)) = (field(22), boot_seconds()) {
        let seconds = booted + started / TICKS_PER_SECOND;
        text.gauge("process_start_time_seconds", "when the process began, in Unix time", seconds);
    }
    let status = status();
    if let Some(bytes) = resident(&status) {
        text.gauge("process_resident_memory_bytes", "memory in use", bytes);
    }
    if let Some(kib) = number_after(&status, "VmSize:") {
        text.gauge("process_virtual_memory_bytes", "memory mapped", kib * 1024.0);
    }
    if let Some(threads) = number_after(&status, "Threads:") {
        text.gauge("process_threads", "threads", threads);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        text.gauge("process_open_fds", "open file descriptors", open.count());
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = number_after(&limits, "Max open files") {
        text.gauge("process_max_fds", "the most file descriptors that may be open", most);
    }
}

/// Returns the resident memory of the process, in bytes.
pub fn resident_bytes() -> Option<u64> {
    resident(&status())
}

fn status() -> String {
    fs::read_to_string("/proc/self/status").unwrap_or_default()
}

fn resident(status: &str) -> Option<u64> {
    number_after(status, "VmRSS:").map(|kib| kib as u64 * 1024)
}

fn boot_seconds() -> Option<f64> {
    number_after(&fs::read_to_string("/proc/stat").ok()?, "btime ")
}

/// Returns the number in the line that starts with `start`.
fn number_after(text: &str, start: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(start))?;
    rest.split_whitespace().next()?.parse().ok()
}
