//! Tries to have more in a directory than its room, by every way that might be counted wrongly.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};

use sandbar_sdk::schemars::{self, JsonSchema};
use sandbar_sdk::{Context, Error, Tool};
use serde::Deserialize;

sandbar_sdk::tool_plugin!(tools);

/// Where, and how often.
#[derive(Deserialize, JsonSchema)]
struct Input {
    /// Such as `/` or `/out`.
    dir: String,
    times: u64,
}

const MIB: usize = 1 << 20;

/// What is written, again and again.
static BLOCK: [u8; MIB] = [b'x'; MIB];

fn tools() -> Vec<Tool> {
    vec![
        Tool::new("write", write),
        Tool::new("append", append),
        Tool::new("sparse", sparse),
        Tool::new("rename", rename),
        Tool::new("links", links),
        Tool::new("dangling", dangling),
        Tool::new("unlink", unlink),
        Tool::new("cut", cut),
        Tool::new("early", early),
        Tool::new("across", across),
        Tool::new("read", read),
        Tool::new("remove", remove),
    ]
}

/// Honest: so many files of 1 MiB.
fn write(input: Input, _: &Context) -> Result<String, Error> {
    for written in 0..input.times {
        fs::write(input.path(written), BLOCK.as_slice()).map_err(refused(written))?;
    }
    Ok(format!("{} MiB", input.times))
}

/// Makes one file longer, at its end.
fn append(input: Input, _: &Context) -> Result<String, Error> {
    let path = input.path(0);
    for written in 0..input.times {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.map_err(refused(written))?;
        file.write_all(&BLOCK).map_err(refused(written))?;
    }
    Ok(format!("{} MiB", input.times))
}

/// Writes one byte, far behind the end.
fn sparse(input: Input, _: &Context) -> Result<String, Error> {
    let mut file = File::create(input.path(0)).map_err(refused(0))?;
    file.seek(SeekFrom::Start(input.times << 20)).map_err(refused(0))?;
    file.write_all(b"x").map_err(refused(0))?;
    Ok(format!("{} MiB", input.times))
}

/// Puts each file in the place of itself, so that it counts as replaced and is there still.
fn rename(input: Input, _: &Context) -> Result<String, Error> {
    for written in 0..input.times {
        let path = input.path(written);
        fs::write(&path, BLOCK.as_slice()).map_err(refused(written))?;
        fs::rename(&path, &path).map_err(refused(written))?;
    }
    Ok(format!("{} MiB", input.times))
}

/// The same with a second name of a file, which stays.
fn links(input: Input, _: &Context) -> Result<String, Error> {
    let path = input.path(0);
    fs::write(&path, "x").map_err(refused(0))?;
    for made in 0..input.times * 256 {
        let link = format!("{}-{made}", input.path(1));
        fs::hard_link(&path, &link).map_err(refused(made / 256))?;
        fs::rename(&link, &path).map_err(refused(made / 256))?;
    }
    Ok(format!("{} MiB", input.times))
}

/// Makes files by links that lead to them, removes them by their names, and spends what that gave.
fn dangling(input: Input, context: &Context) -> Result<String, Error> {
    let (link, target) = (format!("{}/link", input.dir), format!("{}/target", input.dir));
    fs::write(format!("{}/before", input.dir), BLOCK.repeat(3)).map_err(refused(0))?;
    for _ in 0..input.times * 256 {
        let made = link_to("target", &link) && File::create(&link).is_ok();
        if !made {
            return Err(Error::new("refused", "no file was made by a link".to_owned()));
        }
        let _ = fs::remove_file(&target);
        let _ = fs::remove_file(&link);
    }
    write(input, context)
}

/// Removes each file and goes on holding it.
fn unlink(input: Input, _: &Context) -> Result<String, Error> {
    let mut held = Vec::new();
    for written in 0..input.times {
        let path = input.path(written);
        let mut file = File::create(&path).map_err(refused(written))?;
        file.write_all(&BLOCK).map_err(refused(written))?;
        fs::remove_file(&path).map_err(refused(written))?;
        held.push(file);
    }
    Ok(format!("{} MiB", held.len()))
}

/// Cuts a file behind the back of a stream that goes on at its end, and fills the hole.
fn cut(input: Input, _: &Context) -> Result<String, Error> {
    for written in 0..input.times {
        let path = input.path(written);
        let mut stream = File::create(&path).map_err(refused(written))?;
        stream.write_all(&BLOCK).map_err(refused(written))?;
        fs::write(&path, "").map_err(refused(written))?;
        stream.write_all(b"x").map_err(refused(written))?;
        let mut hole = OpenOptions::new().write(true).open(&path).map_err(refused(written))?;
        hole.write_all(&BLOCK).map_err(refused(written))?;
    }
    Ok(format!("{} MiB", input.times))
}

/// Opens all files before there is anything in them.
fn early(input: Input, _: &Context) -> Result<String, Error> {
    let files: Result<Vec<File>, _> = (0..input.times).map(|index| File::create(input.path(index))).collect();
    for (written, mut file) in (0..).zip(files.map_err(refused(0))?) {
        file.write_all(&BLOCK).map_err(refused(written))?;
    }
    Ok(format!("{} MiB", input.times))
}

/// Fills a directory of the workspace and moves it to where there is less room; then the same with a file, and with a second name of it.
fn across(input: Input, _: &Context) -> Result<String, Error> {
    let failed = |error: std::io::Error| Error::new("failed", error.to_string());
    fs::create_dir_all("/full").map_err(failed)?;
    fs::write("/full/file", BLOCK.repeat(input.times as usize)).map_err(failed)?;
    fs::write("/file", BLOCK.repeat(input.times as usize)).map_err(failed)?;
    let attempts = [
        ("directory", fs::rename("/full", format!("{}/full", input.dir))),
        ("link", fs::hard_link("/file", format!("{}/link", input.dir))),
        ("file", fs::rename("/file", format!("{}/file", input.dir))),
    ];
    let through = attempts.iter().filter(|(_, well)| well.is_ok());
    let through: Vec<&str> = through.map(|(name, _)| *name).collect();
    if through.is_empty() {
        return Err(Error::new("refused", format!("{} attempts", attempts.len())));
    }
    Ok(format!("went well: {}", through.join(", ")))
}

/// How long the first file is.
fn read(input: Input, _: &Context) -> Result<String, Error> {
    let read = fs::read(input.path(0)).map_err(refused(0))?;
    Ok(format!("{} bytes", read.len()))
}

/// Removes what the others made.
fn remove(input: Input, _: &Context) -> Result<String, Error> {
    let removed = (0..input.times).filter(|index| fs::remove_file(input.path(*index)).is_ok());
    Ok(format!("{} removed", removed.count()))
}

impl Input {
    fn path(&self, index: u64) -> String {
        format!("{}/{index}.bin", self.dir)
    }
}

fn refused(written: u64) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::new("refused", format!("after {written} MiB: {error}"))
}

/// The standard library makes no links here.
#[cfg(target_arch = "wasm32")]
fn link_to(target: &str, path: &str) -> bool {
    let directories = wasip2::filesystem::preopens::get_directories();
    let inside = |name: &str| Some(path.strip_prefix(name)?.trim_start_matches('/').to_owned());
    let place = directories
        .iter()
        .filter(|(_, name)| path.starts_with(name))
        .max_by_key(|(_, name)| name.len());
    place.is_some_and(|(root, name)| inside(name).is_some_and(|path| root.symlink_at(target, &path).is_ok()))
}

#[cfg(not(target_arch = "wasm32"))]
fn link_to(_: &str, _: &str) -> bool {
    false
}
