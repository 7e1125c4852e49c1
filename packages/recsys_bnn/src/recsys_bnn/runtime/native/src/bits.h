// Exact sums with 1-bit weights.
#pragma once
#include "common.h"

// Signs by signs: S counts the differing bits. Weights are uint64 [N][K / 64].
static void bit_loops(const Layer *l, const Way *way, const uint64_t *x, int64_t rows, float *y, int64_t ldy) {
    int64_t words = up(l->depth, 64) / 64;
    for (int64_t r = 0; r < rows; r++) {
        const uint64_t *row = x + r * words, *w = way->weights;
        for (int64_t n = 0; n < l->padded; n += 8) {
            int32_t count[8] = {0};
            for (int64_t k = 0; k < words; k++)
                EACH(o, 8) count[o] += __builtin_popcountll(row[k] ^ w[(n + o) * words + k]);
            finish_sums(l, way, count, 0, n, 8, y + r * ldy + n);
            if (n + 8 >= l->outputs) break;
        }
    }
}

#if defined(__AVX512VPOPCNTDQ__)
// The same, 8 outputs in a register. Weights are uint64 [N / 8][K / 64][8]. R rows by 16 * P outputs.
INLINE void vpopcnt_tile(const int R, const int P, const Layer *l, const Way *way, const uint64_t *w, const uint64_t *x, int64_t words, int64_t n, float *y, int64_t ldy) {
    __m512i acc[6][4];
    EACH(r, R) EACH(p, 2 * P) acc[r][p] = _mm512_setzero_si512();
    for (int64_t k = 0; k < words; k++) {
        __m512i ww[4];
        EACH(p, 2 * P) ww[p] = _mm512_loadu_si512(w + (p * words + k) * 8);
        EACH(r, R) {
            __m512i xx = _mm512_set1_epi64((long long)x[r * words + k]);
            EACH(p, 2 * P) acc[r][p] = _mm512_add_epi64(acc[r][p], _mm512_popcnt_epi64(_mm512_xor_si512(xx, ww[p])));
            IN_ORDER();
        }
    }
    EACH(r, R)
        EACH(p, P) {
            __m256i low = _mm512_cvtepi64_epi32(acc[r][2 * p]), high = _mm512_cvtepi64_epi32(acc[r][2 * p + 1]);
            __m512i sums = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
            finish_sums16(l, way, sums, 0, n + p * PANEL, y + r * ldy + n + p * PANEL);
        }
}

static void vpopcnt(const Layer *l, const Way *way, const uint64_t *x, int64_t rows, float *y, int64_t ldy) {
    int64_t words = up(l->depth, 64) / 64, block = outputs_at_once(words * 256, 32);
    for (int64_t begin = 0; begin < l->outputs; begin += block)
        for (int64_t r = 0; r < rows; r += 6)
            for (int64_t n = begin; n < begin + block && n < l->outputs; n += 32) {
                const uint64_t *w = (const uint64_t *)way->weights + n * words;
#define CALL_2(R) vpopcnt_tile(R, 2, l, way, w, x + r * words, words, n, y + r * ldy, ldy)
#define CALL_1(R) vpopcnt_tile(R, 1, l, way, w, x + r * words, words, n, y + r * ldy, ldy)
                if (n + 16 < l->outputs) { ROWS_1_TO_6(rows - r, CALL_2) } else { ROWS_1_TO_6(rows - r, CALL_1) }
#undef CALL_2
#undef CALL_1
            }
}
#endif

#if defined(__AVX2__)
// Four inputs at a time by table lookup (T-MAC, Wei et al. 2025, section 3): the 4 bits of an output's weights choose
// one of 16 sums, and one shuffle does so for 32 outputs. Weights are bytes [N / 32][K / 8][32]: the low half of a byte
// chooses for inputs 0 to 3 of its 8, the high half for 4 to 7. Byte 2j is output j, byte 2j + 1 is output 16 + j.

// S counts equal bits; the table of a row's 4 signs is one of 16 constant ones.
static uint8_t equal_bits[16][16] ALIGNED;

static void fill_equal_bits(void) {
    for (int a = 0; a < 16; a++) for (int b = 0; b < 16; b++) equal_bits[a][b] = (uint8_t)(4 - __builtin_popcount((unsigned)(a ^ b)));
}

// Sums of 16-bit lanes: `total` adds pairs of bytes as one number, `odd` the upper bytes.
INLINE void widen(__m256i bytes, __m256i *total, __m256i *odd) {
    *total = _mm256_add_epi16(*total, bytes);
    *odd = _mm256_add_epi16(*odd, _mm256_srli_epi16(bytes, 8));
}

INLINE void finish_bytes(const Layer *l, const Way *way, __m256i total, __m256i odd, int32_t row_sum, int64_t n, float *y) {
    __m256i halves[2] = {_mm256_sub_epi16(total, _mm256_slli_epi16(odd, 8)), odd};
    float row = (float)(way->row_scale * row_sum);
    EACH(h, 2) {
        finish_small8(l, way, _mm256_cvtepu16_epi32(_mm256_castsi256_si128(halves[h])), row, n + 16 * h, y + 16 * h);
        finish_small8(l, way, _mm256_cvtepu16_epi32(_mm256_extracti128_si256(halves[h], 1)), row, n + 16 * h + 8, y + 16 * h + 8);
    }
}

INLINE __m256i table16(const void *at) { return _mm256_broadcastsi128_si256(_mm_load_si128(at)); }

// R rows by C blocks of 32 outputs; x holds 16 times the 4 bits of each group of inputs.
INLINE void bit_lookup_tile(const int R, const int C, const Layer *l, const Way *way, const uint8_t *w, const uint8_t *x, int64_t stride, int64_t n, float *y, int64_t ldy) {
    const __m256i nibble = _mm256_set1_epi8(15);
    int64_t pairs = up(l->depth, 8) / 8;
    __m256i total[4][2], odd[4][2];
    EACH(r, R) EACH(c, C) total[r][c] = odd[r][c] = _mm256_setzero_si256();
    for (int64_t g = 0; g < pairs;) {
        int64_t end = g + 31 < pairs ? g + 31 : pairs;  // 62 sums of at most 4 fit a byte
        __m256i acc[4][2];
        EACH(r, R) EACH(c, C) acc[r][c] = _mm256_setzero_si256();
        for (; g < end; g++) {
            __m256i low[2], high[2];
            EACH(c, C) {
                __m256i ww = _mm256_load_si256((const void *)(w + (c * pairs + g) * 32));
                low[c] = _mm256_and_si256(ww, nibble);
                high[c] = _mm256_and_si256(_mm256_srli_epi16(ww, 4), nibble);
            }
            EACH(r, R) {
                const uint8_t *at = x + r * stride + 2 * g;
                __m256i first = table16((const uint8_t *)equal_bits + at[0]), second = table16((const uint8_t *)equal_bits + at[1]);
                EACH(c, C) {
                    acc[r][c] = _mm256_add_epi8(acc[r][c], _mm256_shuffle_epi8(first, low[c]));
                    acc[r][c] = _mm256_add_epi8(acc[r][c], _mm256_shuffle_epi8(second, high[c]));
                }
                IN_ORDER();
            }
        }
        EACH(r, R) EACH(c, C) widen(acc[r][c], &total[r][c], &odd[r][c]);
    }
    EACH(r, R)
        EACH(c, C) finish_bytes(l, way, total[r][c], odd[r][c], 0, n + 32 * c, y + r * ldy + n + 32 * c);
}

static void bit_lookup(const Layer *l, const Way *way, const uint8_t *x, int64_t stride, int64_t rows, float *y, int64_t ldy) {
    int64_t pairs = up(l->depth, 8) / 8, block = outputs_at_once(pairs * 64, 64);
    for (int64_t begin = 0; begin < l->outputs; begin += block)
        for (int64_t r = 0; r < rows; r += 3)
            for (int64_t n = begin; n < begin + block && n < l->outputs; n += 64) {
                const uint8_t *w = (const uint8_t *)way->weights + n * pairs;
#define CALL_2(R) bit_lookup_tile(R, 2, l, way, w, x + r * stride, stride, n, y + r * ldy, ldy)
#define CALL_1(R) bit_lookup_tile(R, 1, l, way, w, x + r * stride, stride, n, y + r * ldy, ldy)
                if (n + 32 < l->outputs) { ROWS_1_TO_3(rows - r, CALL_2) } else { ROWS_1_TO_3(rows - r, CALL_1) }
#undef CALL_2
#undef CALL_1
            }
}

// S adds the codes (of at most 4 bits) whose weight bit is 1. Tables of a row: all sums of each group of 4 codes.
static void subset_sums(const uint8_t *x, int64_t pairs, uint8_t *to) {
    enum { NONE = 128 };  // a shuffle gives 0 there
#define PICK(j, m) ((m) >> (j) & 1 ? (j) : NONE)
#define PICK8(j, m) PICK(j, m), PICK(j, m + 1), PICK(j, m + 2), PICK(j, m + 3), PICK(j, m + 4), PICK(j, m + 5), PICK(j, m + 6), PICK(j, m + 7)
    static const uint8_t picks[4][16] ALIGNED = {{PICK8(0, 0), PICK8(0, 8)}, {PICK8(1, 0), PICK8(1, 8)}, {PICK8(2, 0), PICK8(2, 8)}, {PICK8(3, 0), PICK8(3, 8)}};
#undef PICK8
#undef PICK
    const __m256i second = _mm256_setr_epi64x(0, 0, 0x0404040404040404, 0x0404040404040404);
    __m256i pick[4];
    EACH(j, 4) pick[j] = _mm256_add_epi8(table16(picks[j]), second);  // 128 + 4 still gives 0
    for (int64_t g = 0; g < pairs; g++) {
        int64_t eight;
        memcpy(&eight, x + 8 * g, 8);
        __m256i codes = _mm256_set1_epi64x(eight);
        __m256i a = _mm256_add_epi8(_mm256_shuffle_epi8(codes, pick[0]), _mm256_shuffle_epi8(codes, pick[1]));
        __m256i b = _mm256_add_epi8(_mm256_shuffle_epi8(codes, pick[2]), _mm256_shuffle_epi8(codes, pick[3]));
        _mm256_store_si256((__m256i *)(to + 32 * g), _mm256_add_epi8(a, b));
    }
}

// R rows by 32 outputs; `pairs` is even, as four sums of at most 60 fit a byte.
INLINE void code_lookup_tile(const int R, const Layer *l, const Way *way, const uint8_t *w, int64_t pairs, const uint8_t *tables, const int32_t *sums, int64_t n, float *y, int64_t ldy) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i total[4], odd[4];
    EACH(r, R) total[r] = odd[r] = _mm256_setzero_si256();
    for (int64_t g = 0; g < pairs; g += 2) {
        __m256i acc[4];
        for (int half = 0; half < 2; half++) {
            __m256i ww = _mm256_load_si256((const void *)(w + (g + half) * 32));
            __m256i low = _mm256_and_si256(ww, nibble), high = _mm256_and_si256(_mm256_srli_epi16(ww, 4), nibble);
            EACH(r, R) {
                const uint8_t *at = tables + (r * pairs + g + half) * 32;
                __m256i both = _mm256_add_epi8(_mm256_shuffle_epi8(table16(at), low), _mm256_shuffle_epi8(table16(at + 16), high));
                acc[r] = half ? _mm256_add_epi8(acc[r], both) : both;
                IN_ORDER();
            }
        }
        EACH(r, R) widen(acc[r], &total[r], &odd[r]);
    }
    EACH(r, R) finish_bytes(l, way, total[r], odd[r], sums[r], n, y + r * ldy + n);
}

// `tables` has room for those of 3 rows.
static void code_lookup(const Layer *l, const Way *way, const uint8_t *x, int64_t stride, const int32_t *sums, int64_t rows, uint8_t *tables, float *y, int64_t ldy) {
    int64_t pairs = up(l->depth, 16) / 8;
    for (int64_t r = 0; r < rows; r += 3) {
        int64_t some = rows - r < 3 ? rows - r : 3;
        for (int64_t i = 0; i < some; i++) subset_sums(x + (r + i) * stride, pairs, tables + i * pairs * 32);
        for (int64_t n = 0; n < l->outputs; n += 32) {
            const uint8_t *w = (const uint8_t *)way->weights + n * pairs;
#define CALL(R) code_lookup_tile(R, l, way, w, pairs, tables, sums + r, n, y + r * ldy, ldy)
            ROWS_1_TO_3(some, CALL)
#undef CALL
        }
    }
}
#endif
