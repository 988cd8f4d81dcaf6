//! Sandbar's own places are in no guest's hands: which they are, and which directories can't be given to guests at all.

use std::path::{Path, PathBuf};

use sandbar_plugins::{Kept, OwnPlace};
use sandbar_protocol::{Error, ErrorKind, Result};

use crate::config::Config;
use crate::config::models::ModelConfig;
use crate::config::secrets::SecretRef;

/// Directories of the system that no guest has any business in: what is there is the machine itself.
const SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Where the workspaces of sessions lie that were given none, in the directory for data.
pub(crate) const WORKSPACES: &str = "workspaces";

/// Where compiled plugins lie, in the directory for data.
pub(crate) const CACHE: &str = "cache/components";

/// Folders of the data directory that somebody may have put elsewhere with a link.
pub(crate) const FOLDERS: [&str; 3] = ["cache", CACHE, WORKSPACES];

pub(crate) const HINT: &str = "name a directory of its own, such as `work`; a directory around Sandbar's own places can be given, and then they are left out of it";

/// All of them.
pub(crate) fn of(config: &Config) -> Vec<OwnPlace> {
    let place = |path: PathBuf, what, kept| OwnPlace { path, what, kept };
    let hidden = |path: PathBuf| place(path, "Sandbar's data", Kept::Hidden);
    let mut places = vec![
        hidden(config.data_dir.clone()),
        hidden(config.data_dir.join("sandbar.db")),
    ];
    // Sessions see their own workspaces.
    let folders = FOLDERS.into_iter().filter(|folder| *folder != WORKSPACES);
    let folders = folders.map(|folder| config.data_dir.join(folder));
    places.extend(folders.filter(|folder| folder.is_symlink()).map(hidden));
    let plugins = config.plugin_directories.iter().cloned();
    places.extend(plugins.map(|path| place(path, "a directory of plugins", Kept::Unchanged)));
    let lock = config.lock_file.iter().cloned();
    places.extend(lock.map(|path| place(path, "the record of approved plugins", Kept::Unchanged)));
    let files = config.files.iter().cloned();
    places.extend(files.map(|path| place(path, "Sandbar's configuration", Kept::Unchanged)));
    let secrets = secret_files(config);
    places.extend(secrets.map(|path| place(path, "the file of a secret", Kept::Hidden)));
    places
}

/// The files of secrets, for plugins' requests and for models.
pub(crate) fn secret_files(config: &Config) -> impl Iterator<Item = PathBuf> {
    let keys = config.models.values().filter_map(|model| match model {
        ModelConfig::OpenAi(model) => model.api_key.as_ref(),
        ModelConfig::Scripted { .. } => None,
    });
    let references = config.secrets.values().map(|secret| &secret.value).chain(keys);
    references.filter_map(|reference| match reference {
        SecretRef::File(path) => Some(path.clone()),
        SecretRef::Env(_) => None,
    })
}

/// Why a directory can't be given to guests; none if it can.
pub(crate) fn misplaced(path: &Path, config: &Config) -> Option<String> {
    let path = real(path);
    if path.parent().is_none() {
        return Some("is the root of the file system".to_owned());
    }
    let lies = |place: &Path| match path == place {
        true => "is",
        false => "lies in",
    };
    if let Some(place) = SYSTEM.iter().map(Path::new).find(|place| path.starts_with(place)) {
        return Some(format!(
            "{} `{}`, which is the system's own",
            lies(place),
            place.display()
        ));
    }
    let data = real(&config.data_dir);
    let workspaces = real(&data.join(WORKSPACES));
    // The directory of all workspaces is nobody's.
    let is_workspace = path.starts_with(&workspaces) && path != workspaces;
    if path.starts_with(&data) && !is_workspace {
        return Some(format!("{} Sandbar's directory for data", lies(&data)));
    }
    let mut plugins = config.plugin_directories.iter().map(|directory| real(directory));
    let found = plugins.find(|place| path.starts_with(place))?;
    Some(format!("{} a directory of plugins", lies(&found)))
}

/// The same for a configuration that a program has changed since it was checked.
pub(crate) fn check(config: &Config) -> Result<()> {
    let workspace = config.workspace.iter().map(|path| ("workspace".to_owned(), path));
    let mounts = config.grants.iter().flat_map(|(plugin, grant)| {
        let mounts = grant.mounts.iter();
        mounts.map(move |mount| (format!("mount `{}` of `{plugin}`", mount.name), &mount.path))
    });
    let mut given = workspace.chain(mounts);
    match given.find_map(|(what, path)| Some((what, path, misplaced(path, config)?))) {
        Some((what, path, why)) => Err(refused(&what, path, &why)),
        None => Ok(()),
    }
}

/// The same for a workspace of the journal, which another configuration gave.
pub(crate) fn check_workspace(path: &Path, config: &Config) -> Result<()> {
    match misplaced(path, config) {
        Some(why) => Err(refused("workspace of the session", path, &why)),
        None => Ok(()),
    }
}

fn refused(what: &str, path: &Path, why: &str) -> Error {
    let message = format!("the {what} can't be `{}`, which {why}", path.display());
    Error::new(ErrorKind::Config, "own-place", message).with_hint(HINT)
}

/// Without links, as far as it is there.
pub(crate) fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return match rest.as_os_str().is_empty() {
                true => real,
                false => real.join(rest),
            };
        }
    }
    path
}
