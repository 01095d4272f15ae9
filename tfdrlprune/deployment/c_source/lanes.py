"""Vectors in C99: several numbers side by side, whose sums a compiler keeps in vector registers.

GCC and Clang get their vector extension, in which a sum over inputs keeps its order and so needs no
-ffast-math; any other compiler, and a processor without vectors, gets structures and loops that do
the same.

Four int8 weights of a lane lie behind each other: they are one word, of which shifts make four
floats. A compiler widens bytes to floats in twice as many operations.
"""

from __future__ import annotations

from collections.abc import Iterable

_GNU = """\
typedef float lanes{w} __attribute__((vector_size({bytes}), may_alias));
typedef float near{w} __attribute__((vector_size({bytes}), may_alias, aligned(4)));
#define LOAD{w}(a, p) (a) = *(const lanes{w} *)(p)
#define STORE{w}(p, a) *(near{w} *)(p) = (a)
#define ADD{w}(a, w, x) (a) += *(const lanes{w} *)(w) * (x)
#define DOT{w}(a, w, x) (a) += *(const lanes{w} *)(w) * *(const near{w} *)(x)
#define JOIN{w}(a, b) (a) += (b)
#define SCALE{w}(a, s, b) (a) = (a) * *(const lanes{w} *)(s) + *(const lanes{w} *)(b)
"""
_GNU_INT8 = """\
typedef int32_t ints{w} __attribute__((vector_size({bytes})));
typedef uint32_t words{w} __attribute__((vector_size({bytes}), may_alias));
#define WIDE{w}(q, j) __builtin_convertvector( \\
    (ints{w})(*(const words{w} *)(q) << (24 - 8 * (j))) >> 24, lanes{w})
#define ADD{w}Q(a, q, j, x) (a) += WIDE{w}(q, j) * (x)
#define DOT{w}Q(a, q, j, x) (a) += WIDE{w}(q, j) * *(const near{w} *)(x)
"""
_PLAIN = """\
typedef struct {{ float v[{w}]; }} lanes{w};
#define EACH{w}(do) for (int k_ = 0; k_ < {w}; k_++) {{ do; }}
#define LOAD{w}(a, p) EACH{w}((a).v[k_] = (p)[k_])
#define STORE{w}(p, a) EACH{w}((p)[k_] = (a).v[k_])
#define ADD{w}(a, w, x) EACH{w}((a).v[k_] += (w)[k_] * (x))
#define DOT{w}(a, w, x) EACH{w}((a).v[k_] += (w)[k_] * (x)[k_])
#define JOIN{w}(a, b) EACH{w}((a).v[k_] += (b).v[k_])
#define SCALE{w}(a, s, b) EACH{w}((a).v[k_] = (a).v[k_] * (s)[k_] + (b)[k_])
"""
_PLAIN_INT8 = """\
#define ADD{w}Q(a, q, j, x) EACH{w}((a).v[k_] += (float)(q)[4 * k_ + (j)] * (x))
#define DOT{w}Q(a, q, j, x) EACH{w}((a).v[k_] += (float)(q)[4 * k_ + (j)] * (x)[k_])
"""
_ONE = """\
typedef float lanes1;
#define LOAD1(a, p) (a) = *(p)
#define STORE1(p, a) *(p) = (a)
#define ADD1(a, w, x) (a) += *(w) * (x)
#define ADD1Q(a, q, j, x) (a) += (float)(q)[j] * (x)
#define JOIN1(a, b) (a) += (b)
#define SCALE1(a, s, b) (a) = (a) * *(s) + *(b)
"""
_SUM = """\
static float sum16(const float *p)
{
    float s[8];
    for (int k = 0; k < 8; k++) {
        s[k] = p[k] + p[k + 8];
    }
    for (int k = 0; k < 4; k++) {
        s[k] += s[k + 4];
    }
    return (s[0] + s[2]) + (s[1] + s[3]);
}
"""
# Where a processor has vectors: elsewhere GCC would write out every lane, in five times the code.
# Words are taken apart from their low end.
_IF_GNU = """\
#if (defined(__SSE2__) || defined(__ARM_NEON) || defined(__ALTIVEC__)) && defined(__GNUC__) \\
    && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && !defined(POLICY_PLAIN_C)
"""


def definitions(used: Iterable[str]) -> str:
    """Returns the C that defines the vectors in use.

    Args:
        used: widths as text, with ``q`` behind where there are int8 weights of that width, and
            ``"sum"`` where vectors are summed up: such as ``{"16", "16q", "sum"}``.
    """
    names = set(used)
    widths = sorted({int(name.rstrip("q")) for name in names if name != "sum"}, reverse=True)
    gnu = plain = ""
    for width in (w for w in widths if w > 1):
        sizes = {"w": width, "bytes": 4 * width}
        whole = f"{width}q" in names
        gnu += _GNU.format(**sizes) + (_GNU_INT8.format(**sizes) if whole else "")
        plain += _PLAIN.format(**sizes) + (_PLAIN_INT8.format(**sizes) if whole else "")
    parts = [f"{_IF_GNU}{gnu}#else\n{plain}#endif\n"] if gnu else []
    parts += [_ONE] if 1 in widths else []
    parts += [_SUM] if "sum" in names else []
    return "\n".join(parts)
