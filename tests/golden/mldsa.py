"""ML-DSA-44 keys and deterministic signatures (FIPS 204, algorithms 1, 2, 6 and 7), slow and with Python's standard library alone.

The names are the standard's. A polynomial is a list of 256 integers, always reduced to 0 to Q - 1 but where its signs matter.
"""

import hashlib
import itertools

Q, D, TAU, GAMMA1, GAMMA2, K, L, ETA, BETA, OMEGA = 8380417, 13, 39, 1 << 17, 95232, 4, 4, 2, 78, 80


def h(data, length):
    return hashlib.shake_256(data).digest(length)


def zeta(k):
    return pow(1753, int(format(k, "08b")[::-1], 2), Q)


ZETAS = [zeta(k) for k in range(256)]


def ntt(w):
    w, m, length = list(w), 0, 128
    while length >= 1:
        for start in range(0, 256, 2 * length):
            m += 1
            for j in range(start, start + length):
                t = ZETAS[m] * w[j + length]
                w[j + length], w[j] = (w[j] - t) % Q, (w[j] + t) % Q
        length //= 2
    return w


def ntt_inverse(w):
    w, m, length = list(w), 256, 1
    while length < 256:
        for start in range(0, 256, 2 * length):
            m -= 1
            for j in range(start, start + length):
                t = w[j]
                w[j], w[j + length] = (t + w[j + length]) % Q, -ZETAS[m] * (t - w[j + length]) % Q
        length *= 2
    return [8347681 * x % Q for x in w]


def plus(a, b):
    return [(x + y) % Q for x, y in zip(a, b)]


def minus(a, b):
    return [(x - y) % Q for x, y in zip(a, b)]


def times(a, b):
    return [x * y % Q for x, y in zip(a, b)]


def matrix_times(a, vector):
    product = []
    for row in a:
        total = [0] * 256
        for entry, polynomial in zip(row, vector):
            total = plus(total, times(entry, polynomial))
        product.append(ntt_inverse(total))
    return product


def centred(x, modulus=Q):
    x %= modulus
    return x - modulus if x > modulus // 2 else x


def norm(vector):
    return max(abs(centred(x)) for polynomial in vector for x in polynomial)


def pack(values, bits):
    return sum(x << bits * i for i, x in enumerate(values)).to_bytes(32 * bits, "little")


def expand_a(rho):
    def entry(s, r):
        stream = hashlib.shake_128(rho + bytes([s, r])).digest(6000)
        triples = (int.from_bytes(stream[i:i + 3], "little") & 0x7FFFFF for i in range(0, 6000, 3))
        return list(itertools.islice((x for x in triples if x < Q), 256))

    return [[entry(s, r) for s in range(L)] for r in range(K)]


def expand_s(rho):
    def polynomial(r):
        nibbles = (half for byte in h(rho + r.to_bytes(2, "little"), 1000) for half in (byte & 15, byte >> 4))
        return list(itertools.islice((ETA - x % 5 for x in nibbles if x < 15), 256))

    vectors = [polynomial(r) for r in range(L + K)]
    return vectors[:L], vectors[L:]


def expand_mask(rho, kappa):
    vector = []
    for r in range(L):
        v = int.from_bytes(h(rho + (kappa + r).to_bytes(2, "little"), 32 * 18), "little")
        vector.append([GAMMA1 - (v >> 18 * i & (1 << 18) - 1) for i in range(256)])
    return vector


def sample_in_ball(rho):
    stream = h(rho, 4000)
    signs, places, c = int.from_bytes(stream[:8], "little"), iter(stream[8:]), [0] * 256
    for i in range(256 - TAU, 256):
        j = next(place for place in places if place <= i)
        c[i], c[j] = c[j], -1 if signs >> (i + TAU - 256) & 1 else 1
    return c


def decompose(r):
    r %= Q
    r0 = centred(r, 2 * GAMMA2)
    return (0, r0 - 1) if r - r0 == Q - 1 else ((r - r0) // (2 * GAMMA2), r0)


def keys(seed):
    """The public key, and what signing needs."""
    expanded = h(seed + bytes([K, L]), 128)
    rho, rho_prime, key = expanded[:32], expanded[32:96], expanded[96:]
    a, (s1, s2) = expand_a(rho), expand_s(rho_prime)
    t = [plus(x, s) for x, s in zip(matrix_times(a, [ntt(s) for s in s1]), s2)]
    t0 = [[centred(x, 1 << D) for x in polynomial] for polynomial in t]
    t1 = [[(x - low) >> D for x, low in zip(*pair)] for pair in zip(t, t0)]
    public = rho + b"".join(pack(polynomial, 10) for polynomial in t1)
    return public, (a, key, s1, s2, t0)


def public_key(seed):
    return keys(seed)[0]


def sign(seed, message, context=b""):
    public, (a, key, s1, s2, t0) = keys(seed)
    mu = h(h(public, 64) + bytes([0, len(context)]) + context + message, 64)
    rho, kappa = h(key + bytes(32) + mu, 64), 0
    s1, s2, t0 = [[ntt(polynomial) for polynomial in vector] for vector in (s1, s2, t0)]
    while True:
        y = expand_mask(rho, kappa)
        kappa += L
        w = matrix_times(a, [ntt(polynomial) for polynomial in y])
        challenge = h(mu + b"".join(pack([decompose(x)[0] for x in polynomial], 6) for polynomial in w), 32)
        c = ntt(sample_in_ball(challenge))
        cs1, cs2, ct0 = [[ntt_inverse(times(c, polynomial)) for polynomial in vector] for vector in (s1, s2, t0)]
        z, r = [plus(*pair) for pair in zip(y, cs1)], [minus(*pair) for pair in zip(w, cs2)]
        low = max(abs(decompose(x)[1]) for polynomial in r for x in polynomial)
        if norm(z) >= GAMMA1 - BETA or low >= GAMMA2 - BETA or norm(ct0) >= GAMMA2:
            continue
        # Where c·t0 changes the high bits.
        hints = [[i for i in range(256) if decompose(x[i])[0] != decompose(x[i] + c0[i])[0]] for x, c0 in zip(r, ct0)]
        if sum(map(len, hints)) <= OMEGA:
            break
    flat = [i for row in hints for i in row]
    ends = list(itertools.accumulate(map(len, hints)))
    packed = b"".join(pack([GAMMA1 - centred(x) for x in polynomial], 18) for polynomial in z)
    return challenge + packed + bytes(flat + [0] * (OMEGA - len(flat)) + ends)
