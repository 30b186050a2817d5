//! Compresses the page once, as far as it goes, so that no request pays for it.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

const FOLDER: &str = "web/dist";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={FOLDER}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let mut files: Vec<_> = fs::read_dir(root.join(FOLDER))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        entry(&mut table, &out, &file)?;
    }
    table.push(']');
    fs::write(out.join("page.rs"), table)?;
    Ok(())
}

/// Writes a file's encodings, and its line of the table that `rest/page.rs` includes.
fn entry(table: &mut String, out: &Path, file: &Path) -> Result<(), Box<dyn Error>> {
    let name = file.file_name().and_then(|name| name.to_str()).ok_or("a file's name is no text")?;
    let path = if name == "index.html" { "" } else { name };
    let content_type = match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("webmanifest") => "application/manifest+json",
        _ => return Err(format!("{name}: no content type is known for it: name it in build.rs").into()),
    };
    let bytes = fs::read(file)?;
    let digest = Sha256::digest(&bytes);
    let etag = digest
        .iter()
        .take(16)
        .try_fold(String::new(), |mut text, byte| write!(text, "{byte:02x}").map(|()| text))?;
    let gzip = kept(&out.join(format!("{name}.gz")), gzip(&bytes)?, bytes.len())?;
    let brotli = kept(&out.join(format!("{name}.br")), brotli(&bytes)?, bytes.len())?;
    writeln!(
        table,
        "StaticFile {{ path: \"/{path}\", content_type: \"{content_type}\", etag: \"{etag}\", \
         plain: include_bytes!({file:?}), gzip: {gzip}, brotli: {brotli} }},"
    )?;
    Ok(())
}

/// Keeps an encoding that is smaller than the file, and returns the expression that includes it.
fn kept(path: &Path, encoded: Vec<u8>, plain: usize) -> Result<String, Box<dyn Error>> {
    if encoded.len() >= plain {
        return Ok("None".to_owned());
    }
    fs::write(path, encoded)?;
    Ok(format!("Some(include_bytes!({path:?}))"))
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn brotli(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut encoded = Vec::new();
    brotli::BrotliCompress(&mut &bytes[..], &mut encoded, &brotli::enc::BrotliEncoderParams::default())?;
    Ok(encoded)
}
