"""Makes tests/golden/timestamps: tokens of RFC 3161 as OpenSSL 3 makes them, good ones and bad ones.

    python3 make_timestamps.py [DIR]

The private keys are thrown away, so that no two runs make the same files: this is how they were made, not a check of them.
Certificates are valid for a hundred years, for a token is checked at its own time.
"""

import hashlib
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
TST_INFO = "1.2.840.113549.1.9.16.1.4"
NONCE = 0x0123456789ABCDEF

SETTINGS = """
[ca]
default_ca = all
[all]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
organizationName = optional
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[middle]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign
# As some authorities at work have it: a purpose that is not time stamping.
extendedKeyUsage = emailProtection
[signer]
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
[two_purposes]
extendedKeyUsage = critical, timeStamping, emailProtection
[other_purpose]
extendedKeyUsage = critical, emailProtection
[not_critical]
extendedKeyUsage = timeStamping
"""

AUTHORITY = """
[tsa]
default_tsa = one
[one]
serial = tsa_serial
crypto_device = builtin
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
accuracy = secs:1, millisecs:500, microsecs:100
ordering = yes
tsa_name = {name}
ess_cert_id_chain = no
ess_cert_id_alg = {ess}
clock_precision_digits = {digits}
"""


class Place:
    def __init__(self, work, out):
        self.work, self.out = work, out
        (work / "openssl.cnf").write_text(SETTINGS)
        (work / "index.txt").write_text("")
        (work / "serial").write_text("1000\n")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=self.work, check=True, capture_output=True, text=True)

    def key(self, name, kind):
        options = {
            "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        }[kind]
        self.openssl("genpkey", *options, "-out", f"{name}.key")

    def root(self, name, kind="rsa"):
        self.key(name, kind)
        self.openssl("req", "-x509", "-config", "openssl.cnf", "-new", "-key", f"{name}.key", "-sha256", "-days", 36500,
                     "-subj", f"/O=Test/CN={name}", "-extensions", "root", "-out", f"{name}.pem")

    def certificate(self, name, by, kind, extensions="signer", since="20260101000000Z", until="21260101000000Z"):
        self.key(name, kind)
        self.openssl("req", "-config", "openssl.cnf", "-new", "-key", f"{name}.key", "-subj", f"/O=Test/CN={name}", "-out", f"{name}.csr")
        self.openssl("ca", "-config", "openssl.cnf", "-batch", "-notext", "-cert", f"{by}.pem", "-keyfile", f"{by}.key", "-in", f"{name}.csr",
                     "-extensions", extensions, "-startdate", since, "-enddate", until, "-out", f"{name}.pem")

    def token(self, file, signer, digest="sha256", chain=None, query="query.tsq", ess="sha256", digits=0, name="no", policy=None):
        (self.work / "tsa.cnf").write_text(AUTHORITY.format(ess=ess, digits=digits, name=name))
        (self.work / "tsa_serial").write_text("01\n")
        more = (["-chain", f"{chain}.pem"] if chain else []) + (["-tspolicy", policy] if policy else [])
        self.openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", query, "-signer", f"{signer}.pem", "-inkey", f"{signer}.key",
                     f"-{digest}", *more, "-out", self.out / file)

    def by_cms(self, file, signer, digest="sha256", cades=("-cades",)):
        """The content of `rsa.tsr`, signed by somebody whom `openssl ts` would not let sign."""
        self.openssl("ts", "-reply", "-in", self.out / "rsa.tsr", "-token_out", "-out", "token.der")
        self.openssl("cms", "-verify", "-noverify", "-inform", "DER", "-in", "token.der", "-out", "tst.der")
        self.openssl("cms", "-sign", "-binary", "-nodetach", "-econtent_type", TST_INFO, "-md", digest, *cades, "-signer", f"{signer}.pem",
                     "-inkey", f"{signer}.key", "-outform", "DER", "-in", "tst.der", "-out", "cms.der")
        (self.out / file).write_bytes(element(0x30, element(0x30, b"\x02\x01\x00"), (self.work / "cms.der").read_bytes()))


def element(tag, *parts):
    """One element of DER."""
    content = b"".join(parts)
    length = len(content)
    size = bytes([length]) if length < 128 else (lambda n: bytes([0x80 | len(n)]) + n)(length.to_bytes((length.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + size + content


def query(data, nonce):
    sha256 = bytes.fromhex("0609608648016503040201")
    imprint = element(0x30, element(0x30, sha256, b"\x05\x00"), element(0x04, hashlib.sha256(data).digest()))
    return element(0x30, b"\x02\x01\x01", imprint, element(0x02, nonce.to_bytes(8, "big")), b"\x01\x01\xff")


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "timestamps"
    out.mkdir(parents=True, exist_ok=True)
    data = b"acme.example/ai-audit\n3\nAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n\nfor the test vectors of time stamps\n"
    (out / "data").write_bytes(data)
    (out / "query.tsq").write_bytes(query(data, NONCE))
    with tempfile.TemporaryDirectory() as work:
        place = Place(pathlib.Path(work), out.resolve())
        (place.work / "query.tsq").write_bytes(query(data, NONCE))
        place.root("root")
        place.root("other-root", "p256")
        place.certificate("middle", "root", "p384", "middle")
        place.certificate("rsa", "root", "rsa")
        place.certificate("p256", "middle", "p256")
        place.certificate("p384", "root", "p384")
        place.certificate("expired", "root", "p256", since="20200101000000Z", until="20210101000000Z")
        place.certificate("early", "root", "p256", since="21000101000000Z")
        place.certificate("two-purposes", "root", "p256", "two_purposes")
        place.certificate("other-purpose", "root", "p256", "other_purpose")
        place.certificate("not-critical", "root", "p256", "not_critical")
        for name in ("root", "other-root"):
            (out / f"{name}.pem").write_bytes((place.work / f"{name}.pem").read_bytes())

        place.token("rsa.tsr", "rsa")
        place.token("rsa-sha512.tsr", "rsa", digest="sha512", ess="sha1")
        place.token("p256.tsr", "p256", chain="middle", digits=6, name="yes")
        place.token("p384.tsr", "p384", digest="sha384")
        place.token("expired.tsr", "expired")
        place.token("early.tsr", "early")
        place.by_cms("two-purposes.tsr", "two-purposes")
        place.by_cms("other-purpose.tsr", "other-purpose")
        place.by_cms("not-critical.tsr", "not-critical")
        place.by_cms("no-certificate-signed.tsr", "p384", cades=())
        # An authority that does not take SHA-256 refuses.
        settings = AUTHORITY.replace("digests = sha256", "digests = sha512")
        (place.work / "tsa.cnf").write_text(settings.format(ess="sha256", digits=0, name="no"))
        place.openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query.tsq", "-signer", "rsa.pem", "-inkey", "rsa.key", "-sha256",
                      "-out", place.out / "refused.tsr")
    print(f"{len(list(out.glob('*.tsr')))} tokens in {out}")


if __name__ == "__main__":
    main()
