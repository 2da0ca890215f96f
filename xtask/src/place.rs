//! Where things are: the workspace's root and its target directory, as cargo itself sees them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// The two folders that every command works in.
pub(crate) struct Place {
    root: PathBuf,
    target: PathBuf,
}

impl Place {
    /// Asks cargo, which honours `CARGO_TARGET_DIR` and the configuration files.
    pub(crate) fn find() -> Result<Place> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let mut metadata = Command::new(cargo());
        metadata.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(here);
        let answer = process::capture(&mut metadata)?;
        if !answer.success {
            bail!("cargo can't read the workspace:\n{}", answer.stderr.trim());
        }
        let member = |name| {
            json_text(&answer.stdout, name).with_context(|| format!("`cargo metadata` answered without {name:?}"))
        };
        Ok(Place { root: member("workspace_root")?.into(), target: member("target_directory")?.into() })
    }

    /// The folder of the root manifest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the workspace.
    pub(crate) fn source(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A path inside cargo's target directory.
    pub(crate) fn built(&self, path: &str) -> PathBuf {
        self.target.join(path)
    }

    /// A path inside the one folder that xtask writes to.
    pub(crate) fn own(&self, path: &str) -> PathBuf {
        self.target.join("xtask").join(path)
    }

    /// The workspace's own files whose name `wanted` accepts, sorted. Hidden folders and build output are left out.
    pub(crate) fn find_sources(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder).with_context(|| format!("can't read {}", folder.display()))?;
            for entry in entries {
                let entry = entry.with_context(|| format!("can't read {}", folder.display()))?;
                let (path, name) = (entry.path(), entry.file_name());
                let name = name.to_string_lossy();
                if entry.file_type()?.is_dir() {
                    if !name.starts_with('.') && name != "target" && path != self.target {
                        folders.push(path);
                    }
                } else if wanted(&name) {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// A cargo command that runs in the workspace's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo());
        command.args(arguments).current_dir(&self.root);
        command
    }
}

/// The cargo that runs us, so that the toolchain stays the same.
pub(crate) fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// The text value of the top-level member `name`. Cargo writes one object without white space;
/// the members looked for have names that occur once.
fn json_text(json: &str, name: &str) -> Option<String> {
    let key = format!("\"{name}\":\"");
    let value = &json[json.rfind(&key)? + key.len()..];
    let mut text = String::new();
    let mut characters = value.chars();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => text.push(characters.next()?),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::json_text;

    #[test]
    fn json_text_reads_a_member_and_its_escapes() {
        let json = r#"{"packages":[],"target_directory":"C:\\a \"b\"","version":1,"workspace_root":"/w"}"#;
        assert_eq!(json_text(json, "target_directory").as_deref(), Some(r#"C:\a "b""#));
        assert_eq!(json_text(json, "workspace_root").as_deref(), Some("/w"));
        assert_eq!(json_text(json, "absent"), None);
    }

    #[test]
    fn json_text_refuses_a_text_without_end() {
        assert_eq!(json_text(r#"{"workspace_root":"/w"#, "workspace_root"), None);
    }
}
