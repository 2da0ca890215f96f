#!/bin/sh
# Checks what OpenSSL can check of this evidence bundle: the files, the ledger's signature, the time stamps.
#
#     [LEDGER_KEY=FILE|KEY] sh verify.sh [TSA_CA.pem]
#
# TSA_CA.pem holds the certificates of the time-stamp authorities that you trust. LEDGER_KEY is the ledger's public key, a file or the
# line itself, from somebody else than whoever gave you the bundle; without it the bundle's own is used, which a forger would have put there.
# Needs a POSIX shell, sha256sum (or shasum) and OpenSSL 3.0 or newer. Nothing is written into the bundle.
# Exit code: 0 if all that was checked is good, 1 if anything is not, 2 if a check could not be made, or a time stamp is of an authority
# that you did not name.
LC_ALL=C
export LC_ALL

ca=${1:-}
case $ca in '' | /*) ;; *) ca=$PWD/$ca ;; esac
key=${LEDGER_KEY:-}
case $key in '' | /* | *+*+*) ;; *) key=$PWD/$key ;; esac
case $0 in */*) place=${0%/*} ;; *) place=. ;; esac
CDPATH='' cd "${place:-/}" || exit 2
# No program is run that lies here: of a PATH only what leads elsewhere is kept, and no `.`.
here=$(pwd -P)
elsewhere=
set -f
IFS=:
for place in $PATH; do
    case $place in /*) ;; *) continue ;; esac
    real=$(CDPATH='' cd "$place" 2> /dev/null && pwd -P) || continue
    case $real/ in "$here"/*) continue ;; esac
    elsewhere=${elsewhere:+$elsewhere:}$place
done
set +f
unset IFS
PATH=$elsewhere
export PATH
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
bad=0
unknown=0
unchecked='the records themselves and their proofs (verify.py and verify.sql do that)'

good() { printf 'good     %s\n' "$1"; }
fail() { printf 'BAD      %s\n' "$1"; bad=1; }
skip() { unchecked="$unchecked; $1"; }
command -v openssl > /dev/null || { echo 'openssl is not installed'; exit 2; }
plain() { tr -cd '[:print:]\n'; } # names from the bundle must not move the cursor
if [ -n "$(find . ! -type d ! -type f)" ]; then
    fail 'a link or a pipe is in the folder, which no bundle has: nothing was opened'
    exit 1
fi
for needed in MANIFEST.sha256 checkpoint ledger.vkey bundle.json records.jsonl; do
    [ -f "$needed" ] || { fail "$needed is missing"; exit 1; }
done

# 1. Every file has the hash that the manifest says, and there is no other. This finds damage and proves nothing more.
if grep -v -E '^[0-9a-f]{64}  [A-Za-z0-9_][A-Za-z0-9_./-]*$' MANIFEST.sha256 | plain | grep . || grep -q '[.][.]' MANIFEST.sha256; then
    fail 'MANIFEST.sha256 is not as it must be'
    exit 1
fi
if command -v sha256sum > /dev/null; then sums='sha256sum'; else sums='shasum -a 256'; fi
if $sums -c MANIFEST.sha256 > "$work/sums" 2>&1; then good 'the files are those of MANIFEST.sha256'; else
    grep -v ': OK$' "$work/sums" | plain
    fail 'a file is not the one that MANIFEST.sha256 names'
fi
cut -c 67- MANIFEST.sha256 | sort > "$work/listed"
find . -type f ! -path ./MANIFEST.sha256 | cut -c 3- | sort > "$work/there"
if diff "$work/listed" "$work/there" > "$work/differ"; then good 'no other file is there'; else
    sed -n 's/^< /missing: /p; s/^> /not in MANIFEST.sha256: /p' "$work/differ" | plain
    fail 'files are missing or were added'
fi

# 2. The key is a line `<name>+<key id>+<base64 of type and key>`. Type 0x01 is Ed25519: twelve fixed bytes in front of its 32 make it
#    a file that OpenSSL reads, and the id is the beginning of a hash over name, type and key. Type 0x02 is ECDSA with P-256: its
#    91 bytes are such a file, and the id is the beginning of their hash.
own=$(cat ledger.vkey)
vkey=$own
if [ -n "$key" ]; then
    if [ -f "$key" ]; then vkey=$(cat "$key") || exit 2; else vkey=$key; fi
    case $vkey in *+*+*) ;; *) printf 'LEDGER_KEY is neither a file with a public key nor a public key\n'; exit 2 ;; esac
    if [ "$own" = "$vkey" ]; then good 'the key of the bundle is the one that you gave'; elif [ -d keys ]; then
        skip 'whether the key that you gave follows from the ledger'"'"'s first one (verify.py follows keys/)'
    else
        fail 'unknown key: ledger.vkey is not the key that you gave'
    fi
else
    skip 'whose key this is (set LEDGER_KEY)'
fi
name=${vkey%%+*}
printf '%s' "${vkey#*+*+}" | openssl base64 -d -A > "$work/typed" 2> /dev/null
hex() { od -An -v -tx1 | tr -d ' \n'; }
case $(head -c 1 "$work/typed" | hex)-$(wc -c < "$work/typed" | tr -d ' ') in
    01-33)
        { printf '\060\052\060\005\006\003\053\145\160\003\041\000'; tail -c 32 "$work/typed"; } > "$work/key.der"
        { printf '%s\n' "$name"; cat "$work/typed"; } > "$work/named"
        ;;
    02-92)
        tail -c 91 "$work/typed" > "$work/key.der"
        cp "$work/key.der" "$work/named"
        [ "$(head -c 27 "$work/key.der" | hex)" = 3059301306072a8648ce3d020106082a8648ce3d03010703420004 ] || : > "$work/named"
        ;;
    *) : > "$work/key.der" > "$work/named" ;;
esac
key_id=$(openssl dgst -sha256 -r "$work/named" | cut -c 1-8)
if [ -s "$work/named" ] && [ "$vkey" = "$name+$key_id+${vkey#*+*+}" ]; then good 'the key line fits its key id'; else fail 'the key line does not fit its key id'; fi

# A signed note is a text, an empty line, and lines `— <name> <base64 of key id and signature>`. What is signed is the text with
# its last line break. Other signatures may stand below: they are those of witnesses, which verify.py checks.
signature() {
    sed '/^$/,$d' "$1" > "$work/text"
    sed "1,/^\$/d" "$1" | while IFS= read -r line; do
        case $line in "— $name "*) ;; *) continue ;; esac
        printf '%s' "${line##* }" | openssl base64 -d -A > "$work/signature" 2> /dev/null
        [ "$(head -c 4 "$work/signature" | hex)" = "$key_id" ] || continue
        tail -c +5 "$work/signature" > "$work/bare"
        openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key.der" -rawin -in "$work/text" -sigfile "$work/bare" \
            > /dev/null 2>&1 && echo good || echo bad
    done > "$work/signatures"
    [ "$(sort -u "$work/signatures")" = good ] && [ "$(head -n 1 "$work/text")" = "$name" ]
}
for note in checkpoint witnessed not-before.checkpoint; do
    [ -f "$note" ] || continue
    if signature "$note"; then good "$note is signed by the ledger's key"; elif [ -d keys ] && ! grep -q bad "$work/signatures"; then
        skip "$note, which a later key of the ledger signed (verify.py follows keys/)"
    else
        fail "$note: no good signature of $name+$key_id, or of another ledger"
    fi
done
if [ -f witnessed ]; then
    skip 'the cosignatures of witnesses (verify.py --witness does that)'
    head -c "$(wc -c < checkpoint)" witnessed | cmp -s - checkpoint || fail 'witnessed is not the checkpoint with further signatures below'
fi

# 3. A time stamp (RFC 3161) over the bytes of the checkpoint says that it, and so all records under it, were there then.
stamps=0
stamp() {
    stamps=$((stamps + 1))
    if [ -z "$ca" ]; then
        skip "the time stamp $1 (openssl ts -verify -in $1 -data $2 -CAfile TSA_CA.pem)"
    elif openssl ts -verify -in "$1" -data "$2" -CAfile "$ca" > "$work/said" 2>&1; then
        # -token_out: the response has a text of its own, which nobody signed.
        openssl ts -reply -in "$1" -token_out -text 2> /dev/null | sed -n 's/^Time stamp: //p' | plain > "$work/times"
        if [ "$(grep -c . "$work/times")" = 1 ]; then good "$1: $(cat "$work/times")"; else fail "$1 does not say one time"; fi
    elif grep -q 'certificate verify error' "$work/said"; then
        # Nothing speaks against it, and nobody that you trust speaks for it.
        tail -n 1 "$work/said" | plain
        printf 'UNKNOWN  %s is of an authority that %s does not lead to, or whose certificate has ended\n' "$1" "$ca"
        unknown=1
    else
        tail -n 1 "$work/said" | plain
        fail "$1 is not a time stamp over $2 by an authority in $ca"
    fi
}
for token in not-after/*.tsr; do
    if [ -f "$token" ]; then stamp "$token" checkpoint; fi
done
if [ -f not-before.tsr ]; then
    stamp not-before.tsr not-before.checkpoint
    # The record that is named `anchor` holds the hash of this token, so what is behind that record was sealed later.
    hash=$(openssl dgst -sha256 -r not-before.tsr | cut -c 1-64)
    grep -q "\\\\\"token_sha256\\\\\":\\\\\"$hash\\\\\"" records.jsonl || fail 'no record holds the hash of not-before.tsr'
fi
[ "$stamps" -gt 0 ] || skip 'any time: the bundle has no time stamp'

printf '\nnot checked here: %s\n' "$unchecked"
[ "$bad" = 0 ] || { echo 'NOT GOOD'; exit 1; }
[ "$unknown" = 0 ] || { echo 'NOT CHECKED IN FULL: nothing speaks against it, but a time stamp is of nobody that you trust'; exit 2; }
echo 'all that was checked is good'
