"""Sums of bytes in C: sixteen outputs side by side, four inputs at a time.

Four inputs are a quad. The weights that an output has for them lie behind each other, sixteen times
four are a cache line. That is what processors with a product of bytes take in one instruction:
vpdpbusd on x86, sdot on ARM. C has no word for it, and GCC and Clang find it only in sums of one
output along its inputs, which end in more additions than they began with; so there it is called by
its name, and on x86 before it by that of its forerunner, pmaddwd. Everywhere else, and under
-DPOLICY_PLAIN_C, a loop does the same. Sums are exact in any of them.
"""

from __future__ import annotations

from collections.abc import Collection

# Outputs side by side, and inputs at a time.
WIDE, QUAD = 16, 4

_X86 = """\
#if defined(__SSE2__) && defined(__GNUC__) && !defined(POLICY_PLAIN_C)
#include <immintrin.h>
typedef uint32_t quad;
typedef uint32_t near_quad __attribute__((may_alias, aligned(1)));
#if defined(__AVX512VNNI__)
typedef __m512i few;
static inline few dot(few a, few w, quad x)
{
    return _mm512_dpbusd_epi32(a, _mm512_set1_epi32((int)x), w);
}
#elif defined(__AVX2__)
typedef __m256i few;
static inline few dot(few a, few w, quad x)
{
#if defined(__AVXVNNI__)
    return _mm256_dpbusd_avx_epi32(a, _mm256_set1_epi32((int)x), w);
#else
    const few even = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), odd = _mm256_srai_epi16(w, 8);
    const few p = _mm256_madd_epi16(even, _mm256_set1_epi32((int)(x & 0x00ff00ffu)));
    const few q = _mm256_madd_epi16(odd, _mm256_set1_epi32((int)(x >> 8 & 0x00ff00ffu)));
    return _mm256_add_epi32(a, _mm256_add_epi32(p, q));
#endif
}
#else
typedef __m128i few;
static inline few dot(few a, few w, quad x)
{
    const few even = _mm_srai_epi16(_mm_slli_epi16(w, 8), 8), odd = _mm_srai_epi16(w, 8);
    const few p = _mm_madd_epi16(even, _mm_set1_epi32((int)(x & 0x00ff00ffu)));
    const few q = _mm_madd_epi16(odd, _mm_set1_epi32((int)(x >> 8 & 0x00ff00ffu)));
    return _mm_add_epi32(a, _mm_add_epi32(p, q));
}
#endif
"""
# sdot has signed inputs only: 128 is taken from them, and 128 times the weights is in the bias.
_ARM = """\
#elif defined(__ARM_FEATURE_DOTPROD) && defined(__GNUC__) && !defined(POLICY_PLAIN_C) \\
    && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#include <arm_neon.h>
#define SIGNED_QUADS
typedef uint32_t quad;
typedef uint32_t near_quad __attribute__((may_alias, aligned(1)));
typedef int32_t few __attribute__((vector_size(16), may_alias));
static inline few dot(few a, few w, quad x)
{
    return (few)vdotq_s32((int32x4_t)a, (int8x16_t)w, (int8x16_t)vdupq_n_u32(x ^ 0x80808080u));
}
#else
#define PLAIN_QUADS
#endif
"""
_SUMS = """\
#if defined(PLAIN_QUADS)
typedef struct { uint8_t v[4]; } quad;
typedef int32_t few;
static inline few dot(few a, const int8_t *w, quad x)
{
    return a + w[0] * x.v[0] + w[1] * x.v[1] + w[2] * x.v[2] + w[3] * x.v[3];
}
#define DOT(a, w, k, x) dot(a, (w) + 4 * (k), x)
#define ZERO 0
#else
#define DOT(a, w, k, x) dot(a, ((const few *)(w))[k], x)
#define ZERO (few){0}
#endif
enum { PARTS = 64 / sizeof(few) };
typedef struct { few v[PARTS]; } sums16;
static inline void take16(sums16 *a, const int8_t *w, quad x)
{
    for (int k = 0; k < PARTS; k++) {
        a->v[k] = DOT(a->v[k], w, k, x);
    }
}
static inline void end16(int32_t *s, const sums16 *a)
{
    for (int k = 0; k < PARTS; k++) {
        ((few *)s)[k] = a->v[k];
    }
}
"""
_BEGIN = """\
static inline void begin16(sums16 *a, const int32_t *bias)
{
    for (int k = 0; k < PARTS; k++) {
        a->v[k] = ((const few *)bias)[k];
    }
}
"""
_CLEAR = """\
static inline void clear16(sums16 *a)
{
    for (int k = 0; k < PARTS; k++) {
        a->v[k] = ZERO;
    }
}
#if defined(SIGNED_QUADS)
#define QUAD_ZERO 128
#else
#define QUAD_ZERO 0
#endif
"""
_RUNS = """\
static inline quad quad_at(const uint8_t *p)
{
#if defined(PLAIN_QUADS)
    const quad x = {{p[0], p[1], p[2], p[3]}};
    return x;
#else
    return *(const near_quad *)p;
#endif
}
"""
_SCATTERED = """\
static inline quad quad_of(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
#if defined(PLAIN_QUADS)
    const quad x = {{a, b, c, d}};
    return x;
#else
    return a | (uint32_t)b << 8 | (uint32_t)c << 16 | (uint32_t)d << 24;
#endif
}
"""
# 12582912 is 1.5 * 2^23: a float of that size has no room for fractions, so that the processor
# rounds, to the even one of two that are as near; its last bits are then the whole number.
_ROUNDED = """\
static inline uint8_t rounded(float v, float low, float high, uint32_t zero)
{
    v = v > low ? v : low;
    v = v < high ? v : high;
    const union { float f; uint32_t i; } r = {v + 12582912.0f};
    return (uint8_t)(r.i + zero);
}
"""
_GIVE = """\
static inline void give(uint8_t *restrict y, const int32_t *restrict s,
                        const float *restrict scale, int count, float low, float high,
                        uint32_t zero)
{
    for (int k = 0; k < count; k++) {
        y[k] = rounded((float)s[k] * scale[k], low, high, zero);
    }
}
"""
_GIVE_FLOATS = """\
static inline void give_floats(float *restrict y, const int32_t *restrict s,
                               const int32_t *restrict sums, const float *restrict scale,
                               const float *restrict bias, int count, float step, int32_t zero)
{
    for (int k = 0; k < count; k++) {
        y[k] = (float)(s[k] - zero * sums[k]) * step * scale[k] + bias[k];
    }
}
"""
# The range is that of the numbers and 0, which becomes a byte to the last bit: what is padded is 0.
# Sixteen extremes side by side are found in vectors.
_TO_BYTES = """\
static float to_bytes(uint8_t *restrict y, const float *restrict x, int count, int32_t *zero)
{
    float low[16] = {0.0f}, high[16] = {0.0f};
    const int whole = count - count % 16;
    for (int i = 0; i < whole; i += 16) {
        for (int k = 0; k < 16; k++) {
            low[k] = x[i + k] < low[k] ? x[i + k] : low[k];
            high[k] = x[i + k] > high[k] ? x[i + k] : high[k];
        }
    }
    for (int i = whole; i < count; i++) {
        low[0] = x[i] < low[0] ? x[i] : low[0];
        high[0] = x[i] > high[0] ? x[i] : high[0];
    }
    for (int k = 1; k < 16; k++) {
        low[0] = low[k] < low[0] ? low[k] : low[0];
        high[0] = high[k] > high[0] ? high[k] : high[0];
    }
    const float scale = high[0] > low[0] ? 255.0f / (high[0] - low[0]) : 1.0f;
    const uint8_t at = rounded(-low[0] * scale, 0.0f, 255.0f, 0);
    for (int i = 0; i < count; i++) {
        y[i] = rounded(x[i] * scale, -(float)at, 255.0f - (float)at, at);
    }
    *zero = at;
    return 1.0f / scale;
}
"""
_PARTS = {
    "take16": _X86 + _ARM + _SUMS,
    "begin16": _BEGIN,
    "clear16": _CLEAR,
    "quad_at": _RUNS,
    "quad_of": _SCATTERED,
    "rounded": _ROUNDED,
    "give": _GIVE,
    "give_floats": _GIVE_FLOATS,
    "to_bytes": _TO_BYTES,
}


def definitions(used: Collection[str]) -> str:
    """Returns the C that defines what is in use.

    Args:
        used: names of functions, among others: ``take16`` (with ``end16``), ``begin16``,
            ``clear16``, ``quad_at``, ``quad_of``, ``rounded``, ``give``, ``give_floats`` and
            ``to_bytes``.
    """
    return "\n".join(text for name, text in _PARTS.items() if name in used)
