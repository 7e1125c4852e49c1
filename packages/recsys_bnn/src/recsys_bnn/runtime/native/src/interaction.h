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
    uint8_t *planes, *choices;     // [wide / 4][lanes]: groups of four signs, and 16 times that
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
        if (p->bits == 32) for (int d = 0; d < t->dim; d++) to[d] = ((const float *)r->at[f])[d];
        else for (int d = 0; d < t->dim; d += 8) {
            uint64_t codes = eight_codes(r->at[f] + d / 8 * p->bits, p->bits);
            EACH(j, 8) to[d + j] = (float)((int32_t)(codes >> (8 * j) & 255) * p->mul + p->add);
        }
        if (!t->plain) for (int d = 0; d < t->dim; d++) to[d] = to[d] * scale + bias;
        for (int d = t->dim; d < w->wide; d++) to[d] = 0;
    }
}

// The mean of each list in place of its items. What is written stands at or before what is read.
static void pool_lists(const Table *t, const Rows *r, const Work *w) {
    int at = t->singles;
    for (int l = 0; l < t->lists; at += t->widths[l++]) {
        float *to = w->values + (t->singles + l + 1) * w->wide;
        for (int c = 0; c < t->widths[l]; c++) {
            const float *from = w->values + (at + c + 1) * w->wide, share = r->share[at + c];
            if (c && share == 0) continue;
            for (int d = 0; d < w->wide; d++) to[d] = c ? to[d] + share * from[d] : share * from[d];
        }
    }
}

static void ready_floats(const Table *t, const Rows *r, const Work *w) {
    unpack_floats(t, r, w);
    if (t->lists) pool_lists(t, r, w);
}

static void float_loops(const Table *t, const float *dense, const Work *w, float *out) {
    int has = dense != NULL;
    for (int i = 0; i < t->vectors; i++)
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
            EACH(j, 8) to[d + j] = (int16_t)((int32_t)(codes >> (8 * j) & 255) * p->mul + p->add);
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

// 8 rows of 8 numbers of 32 bits, to 8 rows `to` apart.
INLINE void transpose8(__m256i a[8], int32_t *y, int64_t to) {
    __m256i b[8];
    EACH(i, 4) {
        b[2 * i] = _mm256_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm256_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    EACH(i, 2)
        EACH(h, 2) {
            a[4 * i + 2 * h] = _mm256_unpacklo_epi64(b[4 * i + h], b[4 * i + 2 + h]);
            a[4 * i + 2 * h + 1] = _mm256_unpackhi_epi64(b[4 * i + h], b[4 * i + 2 + h]);
        }
    EACH(i, 4) {
        _mm256_store_si256((__m256i *)(y + i * to), _mm256_permute2x128_si256(a[i], a[4 + i], 0x20));
        _mm256_store_si256((__m256i *)(y + (4 + i) * to), _mm256_permute2x128_si256(a[i], a[4 + i], 0x31));
    }
}

// L lines (i, or i and i + 1) of products with columns j to j + 8 * C: with two, each column is loaded once for both. Whole
// vectors are stored; what is too much is overwritten by the next line. `number` numbers of 32 bits make a row.
#define DEFINE_LINES(NAME, TYPE, ZERO, BROADCAST, LOAD_COLUMN, ACCUMULATE, PUT)                                          \
    INLINE void NAME(const Work *w, const float *fixed, const int L, const int C, const int64_t number, const int64_t stride, \
                     int64_t has, int64_t i, int64_t j, float *out) {                                                    \
        TYPE acc[2][4];                                                                                                  \
        const int32_t *columns = w->columns;                                                                             \
        EACH(a, L) EACH(c, C) acc[a][c] = ZERO;                                                                          \
        for (int64_t d = 0; d < number; d++) {                                                                           \
            TYPE x[2];                                                                                                   \
            EACH(a, L) x[a] = BROADCAST(columns + d * stride + i + a);                                                   \
            EACH(c, C) {                                                                                                 \
                TYPE column = LOAD_COLUMN(columns + d * stride + j + 8 * c);                                             \
                EACH(a, L) acc[a][c] = ACCUMULATE(acc[a][c], x[a], column);                                              \
            }                                                                                                            \
            IN_ORDER();                                                                                                  \
        }                                                                                                                \
        EACH(a, L) EACH(c, C) PUT(w, fixed, acc[a][c], has, i + a, j + 8 * c, out);                                          \
    }                                                                                                                    \
    INLINE void NAME##_blocks(const Work *w, const float *fixed, const int L, const int64_t number, const int64_t stride,    \
                              int64_t has, int64_t i, float *out) {                                                      \
        for (int64_t j = (i + L - 2) / 32 * 32; j >= 0; j -= 32) /* the last columns first, for the sake of the next line */ \
            switch ((i + L - 1 - j + 7) / 8) {                                                                           \
                case 0: break;                                                                                           \
                case 1: NAME(w, fixed, L, 1, number, stride, has, i, j, out); break;                                         \
                case 2: NAME(w, fixed, L, 2, number, stride, has, i, j, out); break;                                         \
                case 3: NAME(w, fixed, L, 3, number, stride, has, i, j, out); break;                                         \
                default: NAME(w, fixed, L, 4, number, stride, has, i, j, out);                                               \
            }                                                                                                            \
    }                                                                                                                    \
    INLINE void NAME##_all(const Work *w, const float *fixed, const int64_t number, const int64_t stride, int64_t count,     \
                           int64_t has, float *out) {                                                                    \
        int64_t i = 0;                                                                                                   \
        for (; i + 1 < count; i += 2) NAME##_blocks(w, fixed, 2, number, stride, has, i, out);                               \
        if (i && i < count) NAME##_blocks(w, fixed, 1, number, stride, has, i, out);                                         \
    }
INLINE void put_ints(const Work *w, const float *fixed, __m256i sums, int64_t has, int64_t i, int64_t j, float *out) {
    int64_t to = line(i + has) + has + j;
    __m256 scale;
    if (fixed) scale = _mm256_loadu_ps(fixed + to);
    else scale = _mm256_mul_ps(_mm256_set1_ps(w->scale[i]), _mm256_loadu_ps(w->scale + j));
    _mm256_storeu_ps(out + to, _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale));
}
INLINE void put_floats(const Work *w, const float *fixed, __m256 sums, int64_t has, int64_t i, int64_t j, float *out) {
    (void)w; (void)fixed; (void)has;
    _mm256_storeu_ps(out + line(i) + j, sums);
}
#define SPREAD_INT(p) _mm256_set1_epi32(*(p))
#define LOAD_INT(p) _mm256_load_si256((const void *)(p))
#define MADD_INT(acc, x, y) _mm256_add_epi32(acc, _mm256_madd_epi16(x, y))
#define SPREAD_FLOAT(p) _mm256_broadcast_ss((const float *)(p))
#define LOAD_FLOAT(p) _mm256_load_ps((const float *)(p))
#define FMA_FLOAT(acc, x, y) _mm256_fmadd_ps(x, y, acc)
DEFINE_LINES(int_lines, __m256i, _mm256_setzero_si256(), SPREAD_INT, LOAD_INT, MADD_INT, put_ints)
DEFINE_LINES(float_lines, __m256, _mm256_setzero_ps(), SPREAD_FLOAT, LOAD_FLOAT, FMA_FLOAT, put_floats)

// Floats of the rows, transposed. Column 0 is the dense vector where there is one.
INLINE void float_columns(const Table *t, const float *dense, const Rows *r, const Work *w, const int64_t dim, const int64_t stride) {
    int64_t has = dense != NULL, vectors = t->vectors + has;
    const float *rows[8];
    if (!t->plain) ready_floats(t, r, w);
    for (int64_t v = 0; v < vectors; v += 8) {
        for (int64_t k = 0; k < 8; k++) {
            int64_t f = v + k - has;
            rows[k] = f < 0 ? dense : f >= t->vectors ? w->values : t->plain ? (const float *)r->at[f] : w->values + (f + 1) * w->wide;
        }
        for (int64_t d = 0; d < dim; d += 8) {
            __m256i a[8];
            EACH(k, 8) a[k] = _mm256_loadu_si256((const void *)(rows[k] + d));
            transpose8(a, w->columns + d * stride + v, stride);
        }
    }
}

// Vector 0 is the dense one where there is one. All in float, scales and biases included.
INLINE void float_lanes_of(const Table *t, const float *dense, const Rows *r, const Work *w, float *out, const int64_t dim, const int64_t stride) {
    float_columns(t, dense, r, w, dim, stride);
    float_lines_all(w, NULL, dim, stride, t->vectors + (dense != NULL), 0, out);
}

// Sizes that are common are constants, so that loops are unrolled.
static void float_lanes(const Table *t, const float *dense, const Rows *r, const Work *w, float *out) {
    if (t->dim == 16 && t->lanes == 32) float_lanes_of(t, dense, r, w, out, 16, 64);
    else float_lanes_of(t, dense, r, w, out, t->dim, t->lanes + 32);
}

// 16 codes from the d-th on as int16, 0 behind D. `bits` is 8 or anything.
INLINE __m256i unpack16(const Part *p, const int bits, const uint8_t *at, int64_t d, const int64_t dim) {
    static const int16_t keep[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    __m128i bytes;
    if (bits == 8) bytes = _mm_loadu_si128((const void *)(at + d));
    else {
        uint64_t first = eight_codes(at + d / 8 * bits, bits), second = 0;
        if (d + 8 < dim) second = eight_codes(at + (d / 8 + 1) * bits, bits);
        bytes = _mm_set_epi64x((long long)second, (long long)first);
    }
    __m256i codes = _mm256_mullo_epi16(_mm256_cvtepu8_epi16(bytes), _mm256_set1_epi16((int16_t)p->mul));
    codes = _mm256_add_epi16(codes, _mm256_set1_epi16((int16_t)p->add));
    if (d + 16 <= dim) return codes;
    return _mm256_and_si256(codes, _mm256_loadu_si256((const void *)(keep + d + 16 - dim)));
}

// Codes of the rows as pairs of int16, transposed.
INLINE void int_columns(const Table *t, const Rows *r, const Work *w, const int64_t dim, const int64_t stride, const int has_hot, const int bits) {
    for (int64_t f = 0; f < t->fields; f += 8)
        for (int64_t d = 0; d < dim; d += 16) {
            __m256i a[8];
            EACH(k, 8) {
                int64_t field = f + k < t->fields ? f + k : f;
                const Part *p = &t->parts[has_hot ? r->hot[field] : 0];
                a[k] = unpack16(p, has_hot ? p->bits : bits, r->at[field], d, dim);
            }
            transpose8(a, w->columns + d / 2 * stride + f, stride);
        }
}

// Products of the dense vector with all rows, from pairs of int16 codes.
INLINE void dense_ints(const Table *t, const float *dense, const Work *w, const int64_t dim, const int64_t stride) {
    for (int64_t f = 0; f < t->fields; f += 8) {
        __m256 even = _mm256_setzero_ps(), odd = even;
        for (int64_t d = 0; d < dim; d += 2) {
            __m256i both = LOAD_INT(w->columns + d / 2 * stride + f);
            __m256 first = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(both, 16), 16));
            __m256 second = _mm256_cvtepi32_ps(_mm256_srai_epi32(both, 16));
            even = _mm256_fmadd_ps(_mm256_set1_ps(dense[d]), first, even);
            if (d + 1 < dim) odd = _mm256_fmadd_ps(_mm256_set1_ps(dense[d + 1]), second, odd);
        }
        _mm256_storeu_ps(w->dots + f, _mm256_mul_ps(_mm256_add_ps(even, odd), _mm256_loadu_ps(w->scale + f)));
    }
}

INLINE void put_dots(const Table *t, const Work *w, float *out) {
    for (int64_t f = 0, to = 0; f < t->fields; to += ++f) out[to] = w->dots[f];
}

// Codes of any bits as int16: one instruction multiplies and adds two values of 8 pairs.
INLINE void int16_lanes_of(const Table *t, const float *dense, const Rows *r, const Work *w, float *out, const int64_t dim, const int64_t stride) {
    int bits = t->parts[0].bits;
    if (t->has_hot) int_columns(t, r, w, dim, stride, 1, 0);
    else if (bits == 8) int_columns(t, r, w, dim, stride, 0, 8);
    else int_columns(t, r, w, dim, stride, 0, bits);
    if (t->pair_scale) int_lines_all(w, t->pair_scale, (dim + 1) / 2, stride, t->fields, dense != NULL, out);
    else int_lines_all(w, NULL, (dim + 1) / 2, stride, t->fields, dense != NULL, out);
    if (dense) { dense_ints(t, dense, w, dim, stride); put_dots(t, w, out); }
}

static void int16_lanes(const Table *t, const float *dense, const Rows *r, const Work *w, float *out) {
    if (t->dim == 16 && t->lanes == 32) int16_lanes_of(t, dense, r, w, out, 16, 64);
    else int16_lanes_of(t, dense, r, w, out, t->dim, t->lanes + 32);
}

// ---------------------------------------------------------------------------------------------------------- 1 bit

// The product of two groups of four signs, int8.
static int8_t sign_products[16][16] ALIGNED;

static void fill_sign_products(void) {
    for (int a = 0; a < 16; a++) for (int b = 0; b < 16; b++) sign_products[a][b] = (int8_t)(4 - 2 * __builtin_popcount((unsigned)(a ^ b)));
}

// Groups of four signs of all rows: as bytes [group][lanes], and 16 times that.
INLINE void split_nibbles(const Table *t, const Rows *r, const Work *w, const int bytes) {
    const __m256i nibble = _mm256_set1_epi8(15);
    int64_t lanes = t->lanes;
    for (int f = 0; f < t->fields; f++)
        for (int b = 0; b < bytes; b++) w->planes[2 * b * lanes + f] = r->at[f][b];
    for (int b = 0; b < bytes; b++)
        for (int64_t f = 0; f < t->fields; f += 32) {
            int64_t at = 2 * b * lanes + f;
            __m256i v = _mm256_load_si256((const void *)(w->planes + at));
            __m256i low = _mm256_and_si256(v, nibble), high = _mm256_andnot_si256(nibble, v);
            _mm256_store_si256((__m256i *)(w->planes + at), low);
            _mm256_store_si256((__m256i *)(w->planes + at + lanes), _mm256_srli_epi16(high, 4));
            _mm256_store_si256((__m256i *)(w->choices + at), _mm256_slli_epi16(low, 4));
            _mm256_store_si256((__m256i *)(w->choices + at + lanes), high);
        }
}

// The same for at most 32 rows of 16 values, without a detour by memory.
INLINE void split_nibbles_16(const Table *t, const Rows *r, const Work *w) {
    const __m256i nibble = _mm256_set1_epi16(15);
    uint64_t four[8] ALIGNED;
    EACH(q, 8) {
        uint64_t packed = 0;
        if (4 * q < t->fields)
            EACH(k, 4) {
                uint16_t v;
                memcpy(&v, r->at[4 * q + k < t->fields ? 4 * q + k : 4 * q], 2);
                packed |= (uint64_t)v << (16 * k);
            }
        four[q] = packed;
    }
    __m256i a = _mm256_setr_epi64x((long long)four[0], (long long)four[1], (long long)four[2], (long long)four[3]);
    __m256i b = _mm256_setr_epi64x((long long)four[4], (long long)four[5], (long long)four[6], (long long)four[7]);
    EACH(g, 4) {
        __m256i low = _mm256_and_si256(_mm256_srli_epi16(a, 4 * g), nibble), high = _mm256_and_si256(_mm256_srli_epi16(b, 4 * g), nibble);
        __m256i plane = _mm256_permute4x64_epi64(_mm256_packus_epi16(low, high), _MM_SHUFFLE(3, 1, 2, 0));
        _mm256_store_si256((__m256i *)(w->planes + g * t->lanes), plane);
        _mm256_store_si256((__m256i *)(w->choices + g * t->lanes), _mm256_slli_epi16(plane, 4));
    }
}

// Products of the dense vector with all rows, G groups of four values: tables of the 16 signed sums of each group.
INLINE void dense_nibbles(const Table *t, const float *dense, const Work *w, const int first, const int G) {
    const __m256 s0 = _mm256_setr_ps(-1, 1, -1, 1, -1, 1, -1, 1), s1 = _mm256_setr_ps(-1, -1, 1, 1, -1, -1, 1, 1);
    const __m256 s2 = _mm256_setr_ps(-1, -1, -1, -1, 1, 1, 1, 1);
    __m256 low[4], high[4];
    EACH(g, G) {
        float x[4] = {0};
        EACH(k, 4) if (4 * (first + g) + k < t->dim) x[k] = dense[4 * (first + g) + k];
        __m256 sum = _mm256_mul_ps(_mm256_set1_ps(x[0]), s0);
        sum = _mm256_fmadd_ps(_mm256_set1_ps(x[1]), s1, sum);
        sum = _mm256_fmadd_ps(_mm256_set1_ps(x[2]), s2, sum);
        low[g] = _mm256_sub_ps(sum, _mm256_set1_ps(x[3]));
        high[g] = _mm256_add_ps(sum, _mm256_set1_ps(x[3]));
    }
    for (int64_t f = 0; f < t->fields; f += 8) {
        __m256 acc = first ? _mm256_loadu_ps(w->dots + f) : _mm256_setzero_ps();
        EACH(g, G) {
            __m256i bits = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(w->planes + (first + g) * t->lanes + f)));
            __m256 top = _mm256_castsi256_ps(_mm256_slli_epi32(bits, 28));
            acc = _mm256_add_ps(acc, _mm256_blendv_ps(_mm256_permutevar8x32_ps(low[g], bits), _mm256_permutevar8x32_ps(high[g], bits), top));
        }
        _mm256_storeu_ps(w->dots + f, acc);
    }
}

static void dense_bits(const Table *t, const float *dense, const Work *w, int groups, float *out) {
    for (int g = 0; g + 4 <= groups; g += 4) dense_nibbles(t, dense, w, g, 4);
    if (groups % 4) dense_nibbles(t, dense, w, groups & ~3, 2);  // two groups a byte
    for (int64_t f = 0; f < t->fields; f += 8)
        _mm256_storeu_ps(w->dots + f, _mm256_mul_ps(_mm256_loadu_ps(w->dots + f), _mm256_loadu_ps(w->scale + f)));
    put_dots(t, w, out);
}

// C times 8 products of row i with rows j and following, from their sums; scales of pairs are fixed or NULL.
INLINE void put_line(const Work *w, const float *fixed, const int C, __m256i sums, int64_t i, int64_t j, int64_t to, float *out) {
    __m128i half[2] = {_mm256_castsi256_si128(sums), C > 2 ? _mm256_extracti128_si256(sums, 1) : _mm_setzero_si128()};
    EACH(c, C) {
        __m128i eight = c & 1 ? _mm_srli_si128(half[c / 2], 8) : half[c / 2];
        __m256 products = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)), scale;
        if (fixed) scale = _mm256_loadu_ps(fixed + to + 8 * c);
        else scale = _mm256_mul_ps(_mm256_set1_ps(w->scale[i]), _mm256_loadu_ps(w->scale + j + 8 * c));
        _mm256_storeu_ps(out + to + 8 * c, _mm256_mul_ps(products, scale));
    }
}

INLINE __m256i nibble_products(const uint8_t *choice, __m256i plane) {
    const void *table = (const int8_t *)sign_products + *choice;
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(table)), plane);
}

// Lines from `first` to `last` of at most 8 * C products; 16 values a row, whose planes are at hand.
INLINE void short_lines(const Work *w, const float *fixed, const int C, const __m256i plane[4], int64_t has, int64_t first, int64_t last, float *out) {
    const uint8_t *choice = w->choices;
    int64_t to = line(first + has) + has;
    for (int64_t i = first; i <= last; to += i++ + has) {
        __m256i a = _mm256_add_epi8(nibble_products(choice + i, plane[0]), nibble_products(choice + 32 + i, plane[1]));
        __m256i b = _mm256_add_epi8(nibble_products(choice + 64 + i, plane[2]), nibble_products(choice + 96 + i, plane[3]));
        put_line(w, fixed, C, _mm256_add_epi8(a, b), i, 0, to, out);
    }
}

INLINE void all_short_lines(const Table *t, const Work *w, const float *fixed, int64_t has, float *out) {
    __m256i plane[4];
    int64_t last = t->fields - 1;
    EACH(g, 4) plane[g] = _mm256_load_si256((const void *)(w->planes + 32 * g));
    short_lines(w, fixed, 1, plane, has, 1, last < 8 ? last : 8, out);
    short_lines(w, fixed, 2, plane, has, 9, last < 16 ? last : 16, out);
    short_lines(w, fixed, 3, plane, has, 17, last < 24 ? last : 24, out);
    short_lines(w, fixed, 4, plane, has, 25, last, out);
}

// Rows of 1 bit, 16 values, at most 32 fields.
static void bit_lines_16(const Table *t, const float *dense, const Rows *r, const Work *w, float *out) {
    int64_t has = dense != NULL;
    split_nibbles_16(t, r, w);
    if (t->pair_scale) all_short_lines(t, w, t->pair_scale, has, out);
    else all_short_lines(t, w, NULL, has, out);
    if (has) dense_bits(t, dense, w, 4, out);
}

// Rows of 1 bit and at most 120 values: one shuffle looks up a group of four signs for 32 pairs.
static void bit_lines(const Table *t, const float *dense, const Rows *r, const Work *w, float *out) {
    int64_t has = dense != NULL, lanes = t->lanes;
    int groups = 2 * t->parts[0].bytes;
    split_nibbles(t, r, w, t->parts[0].bytes);
    const __m256i none = _mm256_set1_epi8((int8_t)(t->dim - 4 * groups));  // behind D all bits are 0, so that each counts +1
    for (int64_t i = 1; i < t->fields; i++)
        for (int64_t j = 0; j < i; j += 32) {
            __m256i sums = none;
            for (int g = 0; g < groups; g++)
                sums = _mm256_add_epi8(sums, nibble_products(w->choices + g * lanes + i, _mm256_load_si256((const void *)(w->planes + g * lanes + j))));
            int64_t to = line(i + has) + has + j;
            switch ((i - j + 7) / 8) {
                case 1: put_line(w, t->pair_scale, 1, sums, i, j, to, out); break;
                case 2: put_line(w, t->pair_scale, 2, sums, i, j, to, out); break;
                case 3: put_line(w, t->pair_scale, 3, sums, i, j, to, out); break;
                default: put_line(w, t->pair_scale, 4, sums, i, j, to, out);
            }
        }
    if (has) dense_bits(t, dense, w, groups, out);
}

static void bit_lanes(const Table *t, const float *dense, const Rows *r, const Work *w, float *out) {
    if (t->dim == 16 && t->fields <= 32) bit_lines_16(t, dense, r, w, out);
    else bit_lines(t, dense, r, w, out);
}
#endif

// The products of one row of the batch, [products] and up to 40 floats behind them.
static void interact(const Table *t, int32_t method, const float *dense, const Rows *r, const Work *w, float *out) {
    if (!t->fixed) row_scales(t, r, w->scale, w->bias);
    switch (method) {
        case FLOAT_LOOPS: ready_floats(t, r, w); float_loops(t, dense, w, out); break;
        case INT16_LOOPS: unpack_int16(t, r, w); int16_loops(t, dense, w, out); break;
        case WORD_LOOPS: word_loops(t, dense, r, w, out); break;
#if defined(__AVX2__)
        case FLOAT_LANES: float_lanes(t, dense, r, w, out); break;
        case INT16_LANES: int16_lanes(t, dense, r, w, out); break;
        case BIT_LANES: bit_lanes(t, dense, r, w, out); break;
#endif
        default: break;
    }
}
