//! The Rust crates `signed_note` and `tlog_tiles`, written by others for a log of their own, as a reader of what was exported.

use std::fs;
use std::path::Path;

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree,
    record_hash, tree_hash,
};

const HEIGHT: u8 = 8;

/// Reads C2SP's `tile/<L>/<N>`, where the crate names the height too: `tile/8/<L>/<N>`.
struct Tiles<'l>(&'l Path);

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &Tile| {
            let path = format!("tile/{}", tile.path().trim_start_matches("tile/8/"));
            fs::read(self.0.join(path)).unwrap_or_default()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

/// Whether signature, root, each entry's place and proof, and the log's growth from `old` entries are good. Gives the number of entries.
pub(crate) fn check(log: &Path, vkey: &str, old: u64) -> Result<u64, String> {
    let told = |what: &str, error: &dyn std::fmt::Debug| format!("{what}: {error:?}");
    let bytes = fs::read(log.join("checkpoint")).map_err(|error| told("checkpoint", &error))?;
    let note = Note::from_bytes(&bytes).map_err(|error| told("note", &error))?;
    let verifier = StandardVerifier::new(vkey).map_err(|error| told("key", &error))?;
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|error| told("signature", &error))?;
    let checkpoint = Checkpoint::from_reader(&mut note.text(), false).map_err(|error| told("checkpoint", &error))?;
    if !vkey.starts_with(&format!("{}+", checkpoint.origin())) || !checkpoint.extension().is_empty() {
        return Err(format!("the checkpoint is of {:?}", checkpoint.origin()));
    }
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    let tiles = Tiles(log);
    // The reader checks every tile against the root.
    let hashes = TileHashReader::new(size, root, &tiles);
    if tree_hash(size, &hashes).map_err(|error| told("root", &error))? != root {
        return Err("the tiles lead to another root".to_owned());
    }
    for number in 0..size.div_ceil(256) {
        let width = u32::try_from((size - number * 256).min(256)).expect("at most 256");
        let path = Tile::new(HEIGHT, 0, number, width, true).path().replace("tile/8/data/", "tile/entries/");
        let bundle = fs::read(log.join(&path)).map_err(|error| told(&path, &error))?;
        let mut rest = bundle.as_slice();
        for index in number * 256..number * 256 + u64::from(width) {
            let entry = rest.split_at_checked(2).and_then(|(length, behind)| {
                behind.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))
            });
            let Some((entry, behind)) = entry else { return Err(format!("{path} ends before entry {index}")) };
            rest = behind;
            let proof = prove_record(size, index, &hashes).map_err(|error| told("proof", &error))?;
            check_record(&proof, size, root, index, record_hash(entry)).map_err(|error| told("entry", &error))?;
        }
        if !rest.is_empty() {
            return Err(format!("{path} has {} bytes too many", rest.len()));
        }
    }
    if old > 0 {
        let before = tree_hash(old, &hashes).map_err(|error| told("root before", &error))?;
        let proof = prove_tree(size, old, &hashes).map_err(|error| told("growth", &error))?;
        check_tree(&proof, size, root, old, before).map_err(|error| told("growth", &error))?;
    }
    Ok(size)
}
