// Products with float weights in panels [N / 16][K][16]. Each sum runs over k in order, or in four interleaved parts
// where there is one panel, for any number of rows: a row's result does not depend on its batch.
#pragma once
#include "common.h"

#if defined(__AVX512F__)
typedef __m512 lanes;
enum { LANES = 16 };
#define LOAD _mm512_loadu_ps
#define SPREAD _mm512_set1_ps
#define FMA _mm512_fmadd_ps
#define ADD _mm512_add_ps
#define ZERO _mm512_setzero_ps()
INLINE void finish_lanes(lanes acc, const Layer *l, int64_t n, float *y) { _mm512_storeu_ps(y, finish16(acc, l, n)); }
#elif defined(__AVX2__) && defined(__FMA__)
typedef __m256 lanes;
enum { LANES = 8 };
#define LOAD _mm256_loadu_ps
#define SPREAD _mm256_set1_ps
#define FMA _mm256_fmadd_ps
#define ADD _mm256_add_ps
#define ZERO _mm256_setzero_ps()
INLINE void finish_lanes(lanes acc, const Layer *l, int64_t n, float *y) { _mm256_storeu_ps(y, finish8(acc, l, n)); }
#else
typedef float lanes __attribute__((vector_size(16)));  // both gcc and clang lower it to SSE, NEON or plain code
enum { LANES = 4 };
INLINE lanes LOAD(const float *p) { lanes v; memcpy(&v, p, 16); return v; }
INLINE lanes SPREAD(float x) { return (lanes){x, x, x, x}; }
INLINE lanes FMA(lanes a, lanes b, lanes c) { return a * b + c; }
INLINE lanes ADD(lanes a, lanes b) { return a + b; }
#define ZERO ((lanes){0, 0, 0, 0})
INLINE void finish_lanes(lanes acc, const Layer *l, int64_t n, float *y) {
    EACH(j, 4) y[j] = finish(acc[j], l->gain[n + j], l->bias[n + j], l->slope);
}
#endif
enum { VECTORS = PANEL / LANES, TILE = LANES == 16 ? 4 : LANES == 8 ? 1 : 1, TILE_ROWS = LANES == 4 ? 2 : 6 };

// R rows by P panels.
INLINE void f32_tile(const int R, const int P, const Layer *l, const float *w, const float *x, int64_t ldx, int64_t n, float *y, int64_t ldy) {
    int64_t K = l->depth;
    lanes acc[6][4 * VECTORS];
    EACH(r, R) EACH(v, P * VECTORS) acc[r][v] = ZERO;
    for (int64_t k = 0; k < K; k++) {
        lanes ww[4 * VECTORS];
        EACH(v, P * VECTORS) ww[v] = LOAD(w + (v / VECTORS * K + k) * PANEL + v % VECTORS * LANES);
        EACH(r, R) {
            lanes xx = SPREAD(x[r * ldx + k]);
            EACH(v, P * VECTORS) acc[r][v] = FMA(xx, ww[v], acc[r][v]);
        }
    }
    EACH(r, R)
        EACH(v, P * VECTORS) finish_lanes(acc[r][v], l, n + v * LANES, y + r * ldy + n + v * LANES);
}

// One row by one panel in four interleaved sums, as so few sums would wait for each other.
INLINE void f32_split(const Layer *l, const float *w, const float *x, int64_t n, float *y) {
    lanes acc[4][VECTORS];
    EACH(s, 4) EACH(v, VECTORS) acc[s][v] = ZERO;
    int64_t k = 0, whole = l->depth / 4 * 4;
    for (; k < whole; k += 4)
        EACH(s, 4)
            EACH(v, VECTORS) acc[s][v] = FMA(SPREAD(x[k + s]), LOAD(w + (k + s) * PANEL + v * LANES), acc[s][v]);
    for (; k < l->depth; k++)
        EACH(v, VECTORS) acc[0][v] = FMA(SPREAD(x[k]), LOAD(w + k * PANEL + v * LANES), acc[0][v]);
    EACH(v, VECTORS)
        finish_lanes(ADD(ADD(acc[0][v], acc[1][v]), ADD(acc[2][v], acc[3][v])), l, n + v * LANES, y + n + v * LANES);
}

// One output: 32 interleaved sums over weights [K].
static void f32_dot(const Layer *l, const float *w, const float *x, float *y) {
    lanes acc[32 / LANES];
    for (int v = 0; v < 32 / LANES; v++) acc[v] = ZERO;
    int64_t k = 0, whole = l->depth / 32 * 32;
    for (; k < whole; k += 32)
        for (int v = 0; v < 32 / LANES; v++) acc[v] = FMA(LOAD(x + k + v * LANES), LOAD(w + k + v * LANES), acc[v]);
    for (int step = 16 / LANES; step; step /= 2) for (int v = 0; v < step; v++) acc[v] = ADD(acc[v], acc[v + step]);
    float parts[LANES], sum = 0;
    memcpy(parts, acc, sizeof parts);
    for (int step = LANES / 2; step; step /= 2) for (int j = 0; j < step; j++) parts[j] += parts[j + step];
    for (; k < l->depth; k++) sum += x[k] * w[k];
    y[0] = finish(parts[0] + sum, l->gain[0], l->bias[0], l->slope);
}

static void f32_rows(const Layer *l, const float *w, const float *x, int64_t ldx, int64_t n, int64_t R, int64_t panels, float *y, int64_t ldy) {
#define CALL_TILE(R) f32_tile(R, TILE, l, w, x, ldx, n, y, ldy)
#define CALL_ONE(R) f32_tile(R, 1, l, w, x, ldx, n, y, ldy)
    if (panels == TILE) { ROWS_1_TO_6(R, CALL_TILE) } else { ROWS_1_TO_6(R, CALL_ONE) }
#undef CALL_TILE
#undef CALL_ONE
}

static void f32_layer(const Layer *l, const Way *way, const float *x, int64_t ldx, int64_t rows, float *y, int64_t ldy) {
    const float *w = way->weights;
    int64_t panels = up(l->outputs, PANEL) / PANEL, K = l->depth, p = 0;
    if (l->outputs == 1) { for (int64_t r = 0; r < rows; r++) f32_dot(l, w, x + r * ldx, y + r * ldy); return; }
    if (panels == 1) { for (int64_t r = 0; r < rows; r++) f32_split(l, w, x + r * ldx, 0, y + r * ldy); return; }
    if (rows == 1)
        for (; p + 4 <= panels; p += 4) f32_tile(1, 4, l, w + p * K * PANEL, x, ldx, p * PANEL, y, ldy);
    int64_t block = outputs_at_once(K * TILE * PANEL * 4 + 1, TILE);
    for (int64_t begin = p; begin < panels; begin += block)
        for (int64_t r = 0; r < rows; r += TILE_ROWS)
            for (int64_t q = begin, some; q < begin + block && q < panels; q += some) {
                some = q + TILE <= panels ? TILE : 1;
                f32_rows(l, w + q * K * PANEL, x + r * ldx, ldx, q * PANEL, rows - r < TILE_ROWS ? rows - r : TILE_ROWS, some, y + r * ldy, ldy);
            }
}
