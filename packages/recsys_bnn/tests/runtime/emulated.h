// AVX-512 and AMX in plain C, so that the kernels for them can be tried on a processor that has neither. Included before
// the engine's sources. Tiles are checked as the processor does.
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define __AVX512F__ 1
#define __AVX512VNNI__ 1
#define __AVX512VPOPCNTDQ__ 1
#define __AMX_INT8__ 1
#define syscall(...) 0

typedef union { float f[16]; int32_t i[16]; uint32_t u[16]; int64_t q[8]; uint8_t b[64]; int8_t s[64]; __m512 ps; __m512i si; } Emulated;
#define EMULATED(TYPE, FIELD, NAME, ARGUMENTS, N, BODY)                                                 \
    static inline TYPE emulated_##NAME ARGUMENTS { Emulated r; for (int k = 0; k < N; k++) BODY; return r.FIELD; }
#define VIEW(x) ((Emulated){.si = (x)})
#define VIEW_F(x) ((Emulated){.ps = (x)})
EMULATED(__m512, ps, set1_ps, (float x), 16, r.f[k] = x)
EMULATED(__m512, ps, setzero_ps, (void), 16, r.f[k] = 0)
EMULATED(__m512, ps, add_ps, (__m512 x, __m512 y), 16, r.f[k] = VIEW_F(x).f[k] + VIEW_F(y).f[k])
EMULATED(__m512, ps, mul_ps, (__m512 x, __m512 y), 16, r.f[k] = VIEW_F(x).f[k] * VIEW_F(y).f[k])
EMULATED(__m512, ps, fmadd_ps, (__m512 x, __m512 y, __m512 z), 16, r.f[k] = __builtin_fmaf(VIEW_F(x).f[k], VIEW_F(y).f[k], VIEW_F(z).f[k]))
EMULATED(__m512, ps, mask_mul_ps, (__m512 other, __mmask16 m, __m512 x, __m512 y), 16, r.f[k] = m >> k & 1 ? VIEW_F(x).f[k] * VIEW_F(y).f[k] : VIEW_F(other).f[k])
EMULATED(__m512, ps, cvtepi32_ps, (__m512i x), 16, r.f[k] = (float)VIEW(x).i[k])
EMULATED(__m512i, si, set1_epi32, (int32_t x), 16, r.i[k] = x)
EMULATED(__m512i, si, set1_epi64, (long long x), 8, r.q[k] = x)
EMULATED(__m512i, si, setzero_si512, (void), 16, r.i[k] = 0)
EMULATED(__m512i, si, add_epi32, (__m512i x, __m512i y), 16, r.u[k] = VIEW(x).u[k] + VIEW(y).u[k])
EMULATED(__m512i, si, mullo_epi32, (__m512i x, __m512i y), 16, r.u[k] = VIEW(x).u[k] * VIEW(y).u[k])
EMULATED(__m512i, si, add_epi64, (__m512i x, __m512i y), 8, r.q[k] = VIEW(x).q[k] + VIEW(y).q[k])
EMULATED(__m512i, si, xor_si512, (__m512i x, __m512i y), 16, r.u[k] = VIEW(x).u[k] ^ VIEW(y).u[k])
EMULATED(__m512i, si, popcnt_epi64, (__m512i x), 8, r.q[k] = __builtin_popcountll((uint64_t)VIEW(x).q[k]))
EMULATED(__m512i, si, castsi256_si512, (__m256i x), 1, { memset(&r, 0xA5, 64); memcpy(&r, &x, 32); })
EMULATED(__m512i, si, inserti64x4, (__m512i x, __m256i y, int at), 1, { r = VIEW(x); memcpy(r.b + 32 * at, &y, 32); })
static inline int32_t emulated_four(const Emulated *x, const Emulated *y, int k) {
    int32_t sum = 0;
    for (int i = 0; i < 4; i++) sum += x->b[4 * k + i] * y->s[4 * k + i];
    return sum;
}
EMULATED(__m512i, si, dpbusd_epi32, (__m512i acc, __m512i x, __m512i y), 16, r.i[k] = VIEW(acc).i[k] + emulated_four(&VIEW(x), &VIEW(y), k))
EMULATED(__m512, ps, loadu_ps, (const void *p), 1, memcpy(&r, p, 64))
EMULATED(__m512i, si, loadu_si512, (const void *p), 1, memcpy(&r, p, 64))
static inline __m512i emulated_load_si512(const void *p) { if ((uintptr_t)p % 64) abort(); return emulated_loadu_si512(p); }
static inline void emulated_storeu_ps(void *p, __m512 x) { memcpy(p, &x, 64); }
static inline __mmask16 emulated_cmp_ps_mask(__m512 x, __m512 y, int how) {
    unsigned mask = 0;
    for (int k = 0; k < 16; k++) mask |= (unsigned)(how == _CMP_LT_OQ ? VIEW_F(x).f[k] < VIEW_F(y).f[k] : VIEW_F(x).f[k] >= VIEW_F(y).f[k]) << k;
    if (how != _CMP_LT_OQ && how != _CMP_GE_OQ) abort();
    return (__mmask16)mask;
}
static inline __m256i emulated_cvtepi64_epi32(__m512i x) {
    int32_t to[8];
    for (int k = 0; k < 8; k++) to[k] = (int32_t)VIEW(x).q[k];
    return _mm256_loadu_si256((const void *)to);
}
#define _mm512_set1_ps emulated_set1_ps
#define _mm512_setzero_ps emulated_setzero_ps
#define _mm512_add_ps emulated_add_ps
#define _mm512_mul_ps emulated_mul_ps
#define _mm512_fmadd_ps emulated_fmadd_ps
#define _mm512_mask_mul_ps emulated_mask_mul_ps
#define _mm512_cvtepi32_ps emulated_cvtepi32_ps
#define _mm512_set1_epi32 emulated_set1_epi32
#define _mm512_set1_epi64 emulated_set1_epi64
#define _mm512_setzero_si512 emulated_setzero_si512
#define _mm512_add_epi32 emulated_add_epi32
#define _mm512_mullo_epi32 emulated_mullo_epi32
#define _mm512_add_epi64 emulated_add_epi64
#define _mm512_xor_si512 emulated_xor_si512
#define _mm512_popcnt_epi64 emulated_popcnt_epi64
#define _mm512_castsi256_si512 emulated_castsi256_si512
#undef _mm512_inserti64x4
#define _mm512_inserti64x4 emulated_inserti64x4
#define _mm512_dpbusd_epi32 emulated_dpbusd_epi32
#define _mm512_loadu_ps emulated_loadu_ps
#define _mm512_loadu_si512 emulated_loadu_si512
#define _mm512_load_si512 emulated_load_si512
#define _mm512_storeu_ps emulated_storeu_ps
#undef _mm512_cmp_ps_mask
#define _mm512_cmp_ps_mask emulated_cmp_ps_mask
#define _mm512_cvtepi64_epi32 emulated_cvtepi64_epi32

// ------------------------------------------------------------------------------------------------------------ tiles

static _Thread_local struct { int rows[8], bytes[8]; uint8_t at[8][16][64]; } tiles;

static inline void emulated_loadconfig(const void *config) {
    const uint8_t *c = config;
    if (c[0] != 1) abort();
    memset(&tiles, 0, sizeof tiles);
    for (int t = 0; t < 8; t++) {
        uint16_t bytes;
        memcpy(&bytes, c + 16 + 2 * t, 2);
        tiles.bytes[t] = bytes;
        tiles.rows[t] = c[48 + t];
        if (tiles.rows[t] < 1 || tiles.rows[t] > 16 || bytes < 1 || bytes > 64) abort();
    }
}
static inline void emulated_loadd(int t, const void *from, int64_t stride) {
    memset(tiles.at[t], 0, sizeof tiles.at[t]);
    for (int r = 0; r < tiles.rows[t]; r++) memcpy(tiles.at[t][r], (const uint8_t *)from + r * stride, (size_t)tiles.bytes[t]);
}
static inline void emulated_stored(int t, void *to, int64_t stride) {
    for (int r = 0; r < tiles.rows[t]; r++) memcpy((uint8_t *)to + r * stride, tiles.at[t][r], (size_t)tiles.bytes[t]);
}
static inline void emulated_dpbusd(int sums, int a, int b) {
    if (tiles.rows[sums] != tiles.rows[a] || tiles.bytes[sums] != tiles.bytes[b] || tiles.rows[b] * 4 != tiles.bytes[a]) abort();
    for (int m = 0; m < tiles.rows[sums]; m++)
        for (int n = 0; n < tiles.bytes[sums] / 4; n++) {
            int32_t sum;
            memcpy(&sum, tiles.at[sums][m] + 4 * n, 4);
            for (int k = 0; k < tiles.bytes[a]; k++) sum += tiles.at[a][m][k] * (int8_t)tiles.at[b][k / 4][4 * n + k % 4];
            memcpy(tiles.at[sums][m] + 4 * n, &sum, 4);
        }
}
#undef _tile_loadconfig
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbusd
#undef _tile_zero
#undef _tile_release
#define _tile_loadconfig emulated_loadconfig
#define _tile_loadd emulated_loadd
#define _tile_stored emulated_stored
#define _tile_dpbusd emulated_dpbusd
#define _tile_zero(t) memset(tiles.at[t], 0, sizeof tiles.at[t])
#define _tile_release() memset(&tiles, 0, sizeof tiles)
