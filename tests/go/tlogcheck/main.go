// tlogcheck reads an exported ledger as Go's own transparency-log packages do: it opens the checkpoint with the verifier key, checks the
// tiles against its root, and for each entry that it is the leaf at its place and that its inclusion proof holds.
//
//	tlogcheck DIR VKEY
package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tiles reads C2SP's tile/<L>/<N>, where Go's own log has tile/8/<L>/<N>.
type tiles struct{ dir string }

func (t tiles) Height() int { return 8 }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		data, err := os.ReadFile(filepath.Join(t.dir, path))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

// ecdsaVerifier is for keys of type 2 (c2sp.org/signed-note), which Go's package leaves to its callers.
type ecdsaVerifier struct {
	name string
	hash uint32
	key  *ecdsa.PublicKey
}

func (v ecdsaVerifier) Name() string    { return v.name }
func (v ecdsaVerifier) KeyHash() uint32 { return v.hash }

func (v ecdsaVerifier) Verify(msg, sig []byte) bool {
	digest := sha256.Sum256(msg)
	return ecdsa.VerifyASN1(v.key, digest[:], sig)
}

func newVerifier(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("not a verifier key")
	}
	typed, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	if len(typed) == 0 || typed[0] != 2 {
		return note.NewVerifier(vkey)
	}
	public, err := x509.ParsePKIXPublicKey(typed[1:])
	if err != nil {
		return nil, err
	}
	key, ok := public.(*ecdsa.PublicKey)
	id := sha256.Sum256(typed[1:])
	if !ok || hex.EncodeToString(id[:4]) != parts[1] {
		return nil, errors.New("no ECDSA key, or not of this id")
	}
	return ecdsaVerifier{parts[0], binary.BigEndian.Uint32(id[:4]), key}, nil
}

func main() {
	size, err := check(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "tlogcheck:", err)
		os.Exit(1)
	}
	fmt.Printf("%d entries are good\n", size)
}

func check(dir, vkey string) (int64, error) {
	verifier, err := newVerifier(vkey)
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return 0, err
	}
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return 0, err
	}
	lines := strings.SplitN(opened.Text, "\n", 4)
	var size int64
	if len(lines) < 3 || lines[0] != verifier.Name() {
		return 0, fmt.Errorf("the checkpoint is of %q", lines[0])
	}
	if _, err := fmt.Sscan(lines[1], &size); err != nil {
		return 0, err
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return 0, err
	}
	// The reader checks every tile against the root.
	hashes := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, tiles{dir})
	for first := int64(0); first < size; first += 256 {
		tile := tlog.Tile{H: 8, L: 0, N: first / 256, W: int(min(256, size-first))}
		path := "tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/0/")
		bundle, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return 0, err
		}
		for index := first; index < first+int64(tile.W); index++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return 0, fmt.Errorf("%s ends before entry %d", path, index)
			}
			entry := bundle[2 : 2+binary.BigEndian.Uint16(bundle)]
			bundle = bundle[2+len(entry):]
			leaf := tlog.RecordHash(entry)
			proof, err := tlog.ProveRecord(size, index, hashes)
			if err != nil {
				return 0, err
			}
			if err := tlog.CheckRecord(proof, size, root, index, leaf); err != nil {
				return 0, fmt.Errorf("entry %d: %w", index, err)
			}
		}
		if len(bundle) > 0 {
			return 0, fmt.Errorf("%s has %d bytes too many", path, len(bundle))
		}
	}
	return size, nil
}
