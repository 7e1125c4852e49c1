// Products of all pairs of vectors: the rows that were looked up, and the dense vector before them.
#pragma once
#include "tables.h"

// The order is that of INTERACTIONS in kernels.py.
enum interaction { FLOAT_LOOPS, INT16_LOOPS, WORD_LOOPS, FLOAT_LANES, INT16_LANES, BIT_LANES };

typedef struct {
    Rows rows[4];                  // of this row of the batch and of the next ones
    float *scale, *bias;           // [lanes]
    int16_t *codes;                // [lanes][wide]
    float *values;                 // [lanes + 1][wide]
    int32_t *columns;              // [wide][lanes + 32]: rows transposed, as pairs of int16 or as floats
    uint8_t *planes, *choices;     // [wide / 4][lanes], [lanes][wide / 4]
    float *dots;                   // [lanes]
    int64_t wide;                  // D up to a multiple of 16
} Work;

// Where the products of vector v begin.
INLINE int64_t line(int64_t v) { return v * (v - 1) / 2; }

// ------------------------------------------------------------------------------------------------ portable loops

static void unpack_floats(const Table *t, const Rows *r, const Work *w) {
    for (int f = 0; f < t->fields; f++) {
        const Part *p = &t->parts[t->has_hot && r->hot[f]];
        float *to = w->values + (f + 1) * w->wide, scale = w->scale[f], bias = w->bias[f];
        if (p->bits == 32) memcpy(to, r->at[f], 4 * (size_t)t->dim);
        else for (int d = 0; d < t->dim; d += 8) {
            uint64_t codes = eight_codes(r->at[f] + d / 8 * p->bits, p->bits);
            for (int j = 0; j < 8; j++) to[d + j] = (float)((int32_t)(codes >> (8 * j) & 255) * p->mul + p->add);
        }
        if (!t->plain) for (int d = 0; d < t->dim; d++) to[d] = to[d] * scale + bias;
        for (int d = t->dim; d < w->wide; d++) to[d] = 0;
    }
}

static void float_loops(const Table *t, const float *dense, const Work *w, float *out) {
    int has = dense != NULL;
    for (int i = 0; i < t->fields; i++)
        for (int j = -has; j < i; j++) {
            const float *a = w->values + (i + 1) * w->wide, *b = j < 0 ? dense : w->values + (j + 1) * w->wide;
            float sum = 0;
            for (int d = 0; d < t->dim; d++) sum += a[d] * b[d];
            out[line(i + has) + j + has] = sum;
        }
}

static void unpack_int16(const Table *t, const Rows *r, const Work *w) {
    for (int f = 0; f < t->fields; f++) {
        const Part *p = &t->parts[t->has_hot && r->hot[f]];
        int16_t *to = w->codes + f * w->wide;
        for (int d = 0; d < t->dim; d += 8) {
            uint64_t codes = eight_codes(r->at[f] + d / 8 * p->bits, p->bits);
            for (int j = 0; j < 8; j++) to[d + j] = (int16_t)((int32_t)(codes >> (8 * j) & 255) * p->mul + p->add);
        }
        for (int d = t->dim; d < w->wide; d++) to[d] = 0;
    }
}

INLINE float scaled(const Table *t, const Work *w, int32_t sum, int i, int j, int64_t at) {
    return (float)sum * (t->pair_scale ? t->pair_scale[at] : w->scale[i] * w->scale[j]);
}

static void int16_loops(const Table *t, const float *dense, const Work *w, float *out) {
    int has = dense != NULL;
    for (int i = 0; i < t->fields; i++) {
        const int16_t *a = w->codes + i * w->wide;
        for (int j = 0; j < i; j++) {
            const int16_t *b = w->codes + j * w->wide;
            int32_t sum = 0;
            for (int d = 0; d < t->dim; d++) sum += a[d] * b[d];
            int64_t at = line(i + has) + has + j;
            out[at] = scaled(t, w, sum, i, j, at);
        }
        float sum = 0;
        for (int d = 0; has && d < t->dim; d++) sum += dense[d] * (float)a[d];
        if (has) out[line(i + 1)] = sum * w->scale[i];
    }
}

// Rows of 1 bit as words; the codes are needed for the dense vector alone.
static void word_loops(const Table *t, const float *dense, const Rows *r, const Work *w, float *out) {
    int has = dense != NULL, words = (int)up(t->dim, 64) / 64;
    uint64_t *all = (uint64_t *)w->columns;
    for (int f = 0; f < t->fields; f++) {
        all[f * words + words - 1] = 0;
        memcpy(all + f * words, r->at[f], (size_t)t->parts[0].bytes);
    }
    for (int i = 0; i < t->fields; i++) {
        for (int j = 0; j < i; j++) {
            int32_t differ = 0;
            for (int k = 0; k < words; k++) differ += __builtin_popcountll(all[i * words + k] ^ all[j * words + k]);
            int64_t at = line(i + has) + has + j;
            out[at] = scaled(t, w, t->dim - 2 * differ, i, j, at);
        }
        float sum = 0;
        for (int d = 0; has && d < t->dim; d++) sum += (all[i * words + d / 64] >> (d % 64) & 1) ? dense[d] : -dense[d];
        if (has) out[line(i + 1)] = sum * w->scale[i];
    }
}

#if defined(__AVX2__)
// ------------------------------------------------------------------------------------------------------ transposed

// 8 rows of 8 numbers of 32 bits, `from` apart, to 8 rows `to` apart.
INLINE void transpose8(const int32_t *x, int64_t from, int32_t *y, int64_t to) {
    __m256i a[8], b[8];
    for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_si256((const void *)(x + i * from));
    for (int i = 0; i < 4; i++) {
        b[2 * i] = _mm256_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm256_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++)
        for (int h = 0; h < 2; h++) {
            a[4 * i + 2 * h] = _mm256_unpacklo_epi64(b[4 * i + h], b[4 * i + 2 + h]);
            a[4 * i + 2 * h + 1] = _mm256_unpackhi_epi64(b[4 * i + h], b[4 * i + 2 + h]);
        }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_si256((__m256i *)(y + i * to), _mm256_permute2x128_si256(a[i], a[4 + i], 0x20));
        _mm256_storeu_si256((__m256i *)(y + (4 + i) * to), _mm256_permute2x128_si256(a[i], a[4 + i], 0x31));
    }
}

static void transpose(const int32_t *x, int64_t rows, int64_t count, int64_t from, int32_t *y, int64_t to) {
    for (int64_t r = 0; r < rows; r += 8)
        for (int64_t c = 0; c < count; c += 8) transpose8(x + r * from + c, from, y + c * to + r, to);
}

// L lines (1 or 2) of up to 32 products each, from 4 * 8 columns; `pairs` numbers of 32 bits a row.
#define DEFINE_LINES(NAME, ZERO, TYPE, BROADCAST, LOAD_COLUMN, ACCUMULATE)                                       \
    INLINE void NAME(const int L, const int C, int64_t pairs, const int32_t *columns, int64_t stride, int64_t i, int64_t j, TYPE acc[2][4]) { \
        for (int a = 0; a < L; a++) for (int c = 0; c < C; c++) acc[a][c] = ZERO;                                \
        for (int64_t d = 0; d < pairs; d++) {                                                                    \
            TYPE x[2];                                                                                           \
            for (int a = 0; a < L; a++) x[a] = BROADCAST(columns + d * stride + i + a);                          \
            for (int c = 0; c < C; c++) {                                                                        \
                TYPE column = LOAD_COLUMN(columns + d * stride + j + 8 * c);                                     \
                for (int a = 0; a < L; a++) acc[a][c] = ACCUMULATE(acc[a][c], x[a], column);                     \
            }                                                                                                    \
        }                                                                                                        \
    }
#define SPREAD_INT(p) _mm256_set1_epi32(*(p))
#define LOAD_INT(p) _mm256_load_si256((const void *)(p))
#define MADD_INT(acc, x, y) _mm256_add_epi32(acc, _mm256_madd_epi16(x, y))
#define SPREAD_FLOAT(p) _mm256_broadcast_ss((const float *)(p))
#define LOAD_FLOAT(p) _mm256_load_ps((const float *)(p))
#define FMA_FLOAT(acc, x, y) _mm256_fmadd_ps(x, y, acc)
DEFINE_LINES(int_lines, _mm256_setzero_si256(), __m256i, SPREAD_INT, LOAD_INT, MADD_INT)
DEFINE_LINES(float_lines, _mm256_setzero_ps(), __m256, SPREAD_FLOAT, LOAD_FLOAT, FMA_FLOAT)

// What a vector of products is multiplied by. Lines are stored whole: the next line then overwrites what was too much.
INLINE __m256 scale8(const Table *t, const Work *w, int64_t i, int64_t j, int64_t at) {
    if (t->pair_scale) return _mm256_loadu_ps(t->pair_scale + at);
    return _mm256_mul_ps(_mm256_set1_ps(w->scale[i]), _mm256_loadu_ps(w->scale + j));
}

// Two lines at a time, so that each column is loaded once for both. The last 32 columns come first, as the end of a line
// overwrites the beginning of the next.
#define TWO_LINES(LINES, FIRST, COUNT, STORE)                                                              \
    for (int64_t i = 0; i < (COUNT); i += 2)                                                               \
        for (int64_t j = i / 32 * 32; j >= 0; j -= 32) {                                                   \
            int64_t groups = (i + 1 - j + 7) / 8;                                                          \
            int L = i + 1 < (COUNT) ? 2 : 1;                                                               \
            switch (groups) {                                                                              \
                case 1: LINES(2, 1, pairs, columns, stride, i, j, acc); groups = 1; break;                 \
                case 2: LINES(2, 2, pairs, columns, stride, i, j, acc); groups = 2; break;                 \
                case 3: LINES(2, 3, pairs, columns, stride, i, j, acc); groups = 3; break;                 \
                default: LINES(2, 4, pairs, columns, stride, i, j, acc); groups = 4;                       \
            }                                                                                              \
            for (int a = 0; a < L; a++)                                                                    \
                for (int64_t c = 0; c < groups && j + 8 * c < i + a; c++) STORE(i + a, j + 8 * c, acc[a][c]); \
        }

// Vector 0 is the dense one where there is one. All in float, scales and biases included.
static void float_lanes(const Table *t, const float *dense, const Work *w, float *out) {
    int64_t has = dense != NULL, stride = t->lanes + 32, pairs = t->dim, vectors = t->fields + has;
    if (has) memcpy(w->values, dense, 4 * (size_t)t->dim);
    int32_t *columns = w->columns;
    transpose((const int32_t *)(w->values + (1 - has) * w->wide), vectors, w->wide, w->wide, columns, stride);
    __m256 acc[2][4];
#define STORE(i, j, sums) _mm256_storeu_ps(out + line(i) + (j), sums)
    TWO_LINES(float_lines, 0, vectors, STORE)
#undef STORE
}

// Codes of D values to int16 [wide]; `bits` is 8 or anything.
INLINE void unpack16(const Table *t, const Part *p, const int bits, const uint8_t *at, int16_t *to, int64_t wide) {
    const __m256i mul = _mm256_set1_epi16((int16_t)p->mul), add = _mm256_set1_epi16((int16_t)p->add);
    for (int64_t d = 0; d < wide; d += 16) {
        __m128i bytes;
        if (bits == 8) bytes = _mm_loadu_si128((const void *)(at + d));
        else {
            uint64_t first = eight_codes(at + d / 8 * bits, bits);
            uint64_t second = d + 8 < t->dim ? eight_codes(at + (d / 8 + 1) * bits, bits) : 0;
            bytes = _mm_set_epi64x((long long)second, (long long)first);
        }
        __m256i codes = _mm256_add_epi16(_mm256_mullo_epi16(_mm256_cvtepu8_epi16(bytes), mul), add);
        _mm256_storeu_si256((__m256i *)(to + d), codes);
    }
    for (int64_t d = t->dim; d < wide; d++) to[d] = 0;
}

static void unpack_lanes(const Table *t, const Rows *r, const Work *w) {
    int bits = t->parts[0].bits;
    if (t->has_hot)
        for (int f = 0; f < t->fields; f++) {
            const Part *p = &t->parts[r->hot[f]];
            unpack16(t, p, p->bits, r->at[f], w->codes + f * w->wide, w->wide);
        }
    else if (bits == 8) for (int f = 0; f < t->fields; f++) unpack16(t, &t->parts[0], 8, r->at[f], w->codes + f * w->wide, w->wide);
    else for (int f = 0; f < t->fields; f++) unpack16(t, &t->parts[0], bits, r->at[f], w->codes + f * w->wide, w->wide);
}

// Products of the dense vector with all rows, from pairs of int16 codes.
static void dense_ints(const Table *t, const float *dense, const Work *w, const int32_t *columns, int64_t stride) {
    for (int64_t f = 0; f < t->fields; f += 8) {
        __m256 even = _mm256_setzero_ps(), odd = even;
        for (int64_t d = 0; d < t->dim; d += 2) {
            __m256i both = LOAD_INT(columns + d / 2 * stride + f);
            __m256 first = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(both, 16), 16));
            __m256 second = _mm256_cvtepi32_ps(_mm256_srai_epi32(both, 16));
            even = _mm256_fmadd_ps(_mm256_set1_ps(dense[d]), first, even);
            if (d + 1 < t->dim) odd = _mm256_fmadd_ps(_mm256_set1_ps(dense[d + 1]), second, odd);
        }
        _mm256_storeu_ps(w->dots + f, _mm256_mul_ps(_mm256_add_ps(even, odd), _mm256_loadu_ps(w->scale + f)));
    }
}

INLINE void put_dots(const Table *t, const Work *w, float *out) {
    for (int64_t f = 0; f < t->fields; f++) out[line(f + 1)] = w->dots[f];
}

// Codes of any bits as int16: one instruction multiplies and adds two values of 8 pairs.
static void int16_lanes(const Table *t, const float *dense, const Rows *r, const Work *w, float *out) {
    int64_t has = dense != NULL, stride = t->lanes + 32, pairs = (t->dim + 1) / 2;
    int32_t *columns = w->columns;
    unpack_lanes(t, r, w);
    transpose((const int32_t *)w->codes, t->fields, w->wide / 2, w->wide / 2, columns, stride);
    __m256i acc[2][4];
#define STORE(i, j, sums)                                                                                     \
    do {                                                                                                      \
        int64_t to = line((i) + has) + has + (j);                                                             \
        _mm256_storeu_ps(out + to, _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale8(t, w, i, j, to)));          \
    } while (0)
    TWO_LINES(int_lines, 0, t->fields, STORE)
#undef STORE
    if (has) { dense_ints(t, dense, w, columns, stride); put_dots(t, w, out); }
}

// ---------------------------------------------------------------------------------------------------------- 1 bit

// The product of two groups of four signs, int8.
static int8_t sign_products[16][16] ALIGNED;

static void fill_sign_products(void) {
    for (int a = 0; a < 16; a++) for (int b = 0; b < 16; b++) sign_products[a][b] = (int8_t)(4 - 2 * __builtin_popcount((unsigned)(a ^ b)));
}

// Groups of four signs of all rows: as bytes [group][lanes], and as 16 times that [lanes][groups].
INLINE void split_nibbles(const Table *t, const Rows *r, const Work *w, const int bytes) {
    int64_t lanes = t->lanes;
    for (int f = 0; f < t->fields; f++)
        for (int b = 0; b < bytes; b++) {
            uint8_t v = r->at[f][b];
            w->planes[2 * b * lanes + f] = v;
            w->choices[f * 2 * bytes + 2 * b] = (uint8_t)(v << 4);
            w->choices[f * 2 * bytes + 2 * b + 1] = v & 0xF0;
        }
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int b = 0; b < bytes; b++)
        for (int64_t f = 0; f < t->fields; f += 32) {
            uint8_t *low = w->planes + 2 * b * lanes + f;
            __m256i v = _mm256_load_si256((const void *)low);
            _mm256_store_si256((__m256i *)low, _mm256_and_si256(v, nibble));
            _mm256_store_si256((__m256i *)(low + lanes), _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
        }
}

// Products of the dense vector with all rows: tables of the 16 signed sums of each four values.
INLINE void dense_nibbles(const Table *t, const float *dense, const Work *w, const int groups) {
    const __m256 s0 = _mm256_setr_ps(-1, 1, -1, 1, -1, 1, -1, 1), s1 = _mm256_setr_ps(-1, -1, 1, 1, -1, -1, 1, 1);
    const __m256 s2 = _mm256_setr_ps(-1, -1, -1, -1, 1, 1, 1, 1);
    for (int64_t f = 0; f < t->fields; f += 8) _mm256_storeu_ps(w->dots + f, _mm256_setzero_ps());
    for (int g = 0; g < groups; g++) {
        float x[4] = {0};
        for (int d = 4 * g; d < 4 * g + 4 && d < t->dim; d++) x[d - 4 * g] = dense[d];
        __m256 sum = _mm256_mul_ps(_mm256_set1_ps(x[0]), s0);
        sum = _mm256_fmadd_ps(_mm256_set1_ps(x[1]), s1, sum);
        sum = _mm256_fmadd_ps(_mm256_set1_ps(x[2]), s2, sum);
        __m256 low = _mm256_sub_ps(sum, _mm256_set1_ps(x[3])), high = _mm256_add_ps(sum, _mm256_set1_ps(x[3]));
        for (int64_t f = 0; f < t->fields; f += 8) {
            __m256i bits = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(w->planes + g * t->lanes + f)));
            __m256 top = _mm256_castsi256_ps(_mm256_slli_epi32(bits, 28));
            __m256 found = _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, bits), _mm256_permutevar8x32_ps(high, bits), top);
            _mm256_storeu_ps(w->dots + f, _mm256_add_ps(_mm256_loadu_ps(w->dots + f), found));
        }
    }
    for (int64_t f = 0; f < t->fields; f += 8)
        _mm256_storeu_ps(w->dots + f, _mm256_mul_ps(_mm256_loadu_ps(w->dots + f), _mm256_loadu_ps(w->scale + f)));
}

// Rows of 1 bit and at most 120 values: one shuffle looks up a group of four signs for 32 pairs.
INLINE void bit_lines(const Table *t, const float *dense, const Rows *r, const Work *w, float *out, const int bytes) {
    int64_t has = dense != NULL, lanes = t->lanes;
    int groups = 2 * bytes;
    split_nibbles(t, r, w, bytes);
    const __m256i none = _mm256_set1_epi8((int8_t)(t->dim - 4 * groups));  // behind D all bits are 0, so that each counts +1
    for (int64_t i = 1; i < t->fields; i++)
        for (int64_t j = 0; j < i; j += 32) {
            __m256i acc = none;
            for (int g = 0; g < groups; g++) {
                __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128((const void *)((const int8_t *)sign_products + w->choices[i * groups + g])));
                acc = _mm256_add_epi8(acc, _mm256_shuffle_epi8(table, _mm256_load_si256((const void *)(w->planes + g * lanes + j))));
            }
            int8_t sums[32] ALIGNED;
            _mm256_store_si256((__m256i *)sums, acc);
            for (int64_t c = 0; c < 32 && j + c < i; c += 8) {
                int64_t to = line(i + has) + has + j + c;
                __m256 eight = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(sums + c))));
                _mm256_storeu_ps(out + to, _mm256_mul_ps(eight, scale8(t, w, i, j + c, to)));
            }
        }
    if (has) { dense_nibbles(t, dense, w, groups); put_dots(t, w, out); }
}

static void bit_lanes(const Table *t, const float *dense, const Rows *r, const Work *w, float *out) {
    if (t->parts[0].bytes == 2) bit_lines(t, dense, r, w, out, 2);
    else bit_lines(t, dense, r, w, out, t->parts[0].bytes);
}
#endif

// The products of one row of the batch, [products] and up to 40 floats behind them.
static void interact(const Table *t, int32_t method, const float *dense, const Rows *r, const Work *w, float *out) {
    if (!t->fixed) row_scales(t, r, w->scale, w->bias);
    switch (method) {
        case FLOAT_LOOPS: unpack_floats(t, r, w); float_loops(t, dense, w, out); break;
        case INT16_LOOPS: unpack_int16(t, r, w); int16_loops(t, dense, w, out); break;
        case WORD_LOOPS: word_loops(t, dense, r, w, out); break;
#if defined(__AVX2__)
        case FLOAT_LANES: unpack_floats(t, r, w); float_lanes(t, dense, w, out); break;
        case INT16_LANES: int16_lanes(t, dense, r, w, out); break;
        case BIT_LANES: bit_lanes(t, dense, r, w, out); break;
#endif
        default: break;
    }
}
