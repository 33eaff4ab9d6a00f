#include "medlocker/blend.h"

#include <string.h>

#include "base/mem.h"

static int floor_div(int a, int b) /* b > 0 */
{
    return a / b - (a % b < 0);
}

int um_unblend_level(int marked, int w, int k)
{
    int below = UM_BLEND_ONE - k, j = floor_div(2 * (UM_BLEND_ONE * marked - k * w) + below, 2 * below);
    return j < 0 ? 0 : j > 255 ? 255 : j;
}

int um_blend_preimages(int marked, int w, int k, int *first)
{
    /* marked <= ((1-a) I + a W) 65025 + 32512) / 65025 < marked + 1, solved for I */
    int below = UM_BLEND_ONE - k, low = UM_BLEND_ONE * marked - k * w - 32512;
    int begin = -floor_div(-low, below), end = -floor_div(-(low + UM_BLEND_ONE), below);
    begin = begin < 0 ? 0 : begin;
    end = end > 256 ? 256 : end;
    *first = begin;
    return end > begin ? end - begin : 0;
}

int um_unblend_error(int k)
{
    int below = UM_BLEND_ONE - k; /* floor(0.5/(1-a) + 0.5) */
    return (UM_BLEND_ONE + below) / (2 * below);
}

int um_residual_bits(int k)
{
    int below = UM_BLEND_ONE - k, most = (UM_BLEND_ONE + below - 1) / below, bits = 0;
    while (1 << bits < most)
        bits++;
    return bits;
}

static int luma(const uint8_t *rgb)
{
    return (19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 32768) >> 16;
}

int um_logo_opacity(const um_logo *l, int64_t p, int alpha, um_opacity_rule rule)
{
    const uint8_t *q = l->rgba + 4 * p;
    int bright = luma(q);
    return rule == UM_OPACITY_MUL ? alpha * q[3] : 255 * (bright < alpha ? bright : alpha);
}

int um_logo_level(const um_logo *l, int64_t p, int64_t ch, int64_t c)
{
    const uint8_t *q = l->rgba + 4 * p;
    return c == 1 ? luma(q) : q[ch];
}

static um_status check(const um_bytes *image, const um_logo *logo, const um_theta *t)
{
    if (t->alpha < 0 || t->alpha > 255)
        return um_fail(UM_E_DATA, "an opacity of %d; it must be 0 to 255", t->alpha);
    if (t->y < 0 || t->x < 0 || t->y > image->h - logo->h || t->x > image->w - logo->w)
        return um_fail(UM_E_DATA, "a logo of %ldx%ld at (%ld, %ld) leaves the image of %ldx%ld", (long)logo->h, (long)logo->w,
                       (long)t->y, (long)t->x, (long)image->h, (long)image->w);
    return UM_OK;
}

static um_status check_inverse(const um_bytes *image, const um_logo *logo, const um_theta *t, um_opacity_rule rule)
{
    um_status rc = UM_OK;
    UM_TRY(check(image, logo, t));
    for (int64_t p = 0; p < logo->h * logo->w; p++)
        if (um_logo_opacity(logo, p, t->alpha, rule) == UM_BLEND_ONE)
            return um_fail(UM_E_DATA, "opacity %d covers the image fully: nothing can bring it back", t->alpha);
done:
    return rc;
}

static uint8_t *sample(const um_bytes *image, const um_logo *logo, const um_theta *t, int64_t p)
{
    return image->data + ((t->y + p / logo->w) * image->w + t->x + p % logo->w) * image->c;
}

um_status um_blend(const um_bytes *image, const um_logo *logo, const um_theta *t, um_opacity_rule rule)
{
    um_status rc = UM_OK;
    UM_TRY(check(image, logo, t));
    for (int64_t p = 0; p < logo->h * logo->w; p++) {
        uint8_t *at = sample(image, logo, t, p);
        int k = um_logo_opacity(logo, p, t->alpha, rule);
        for (int64_t ch = 0; ch < image->c; ch++)
            at[ch] = (uint8_t)um_blend_level(at[ch], um_logo_level(logo, p, ch, image->c), k);
    }
done:
    return rc;
}

um_status um_unblend(const um_bytes *image, const um_logo *logo, const um_theta *t, um_opacity_rule rule)
{
    um_status rc = UM_OK;
    UM_TRY(check_inverse(image, logo, t, rule));
    for (int64_t p = 0; p < logo->h * logo->w; p++) {
        uint8_t *at = sample(image, logo, t, p);
        int k = um_logo_opacity(logo, p, t->alpha, rule);
        for (int64_t ch = 0; k > 0 && ch < image->c; ch++)
            at[ch] = (uint8_t)um_unblend_level(at[ch], um_logo_level(logo, p, ch, image->c), k);
    }
done:
    return rc;
}

static int64_t residual_size(const um_logo *logo, int64_t c, const um_theta *t, um_opacity_rule rule)
{
    int64_t bits = 0;
    for (int64_t p = 0; p < logo->h * logo->w; p++)
        bits += c * um_residual_bits(um_logo_opacity(logo, p, t->alpha, rule));
    return bits;
}

static void put_bits(uint8_t *stream, int64_t at, int n, int value)
{
    for (int i = 0; i < n; i++)
        stream[(at + i) / 8] = (uint8_t)(stream[(at + i) / 8] | (value >> i & 1) << ((at + i) % 8));
}

static int get_bits(const uint8_t *stream, int64_t at, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++)
        value |= (stream[(at + i) / 8] >> ((at + i) % 8) & 1) << i;
    return value;
}

um_status um_residual_make(uint8_t **out, size_t *bytes, int64_t *bits, const um_bytes *clean, const um_logo *logo,
                           const um_theta *t, um_opacity_rule rule)
{
    um_status rc = UM_OK;
    uint8_t *stream = NULL;
    int64_t at = 0;
    UM_TRY(check_inverse(clean, logo, t, rule));
    int64_t size = residual_size(logo, clean->c, t, rule);
    UM_TRY(UM_NEW_ARRAY(stream, (size + 7) / 8));
    for (int64_t p = 0; p < logo->h * logo->w; p++) {
        const uint8_t *from = sample(clean, logo, t, p);
        int k = um_logo_opacity(logo, p, t->alpha, rule), n = um_residual_bits(k);
        for (int64_t ch = 0; n > 0 && ch < clean->c; ch++) {
            int w = um_logo_level(logo, p, ch, clean->c), first = 0;
            um_blend_preimages(um_blend_level(from[ch], w, k), w, k, &first);
            put_bits(stream, at, n, from[ch] - first);
            at += n;
        }
    }
    *out = stream;
    *bytes = (size_t)(size + 7) / 8;
    *bits = size;
    stream = NULL;
done:
    um_free(stream);
    return rc;
}

um_status um_unblend_exact(const um_bytes *image, const um_logo *logo, const um_theta *t, um_opacity_rule rule,
                           const uint8_t *residual, size_t bytes)
{
    um_status rc = UM_OK;
    int64_t at = 0;
    UM_TRY(check_inverse(image, logo, t, rule));
    int64_t size = residual_size(logo, image->c, t, rule);
    if ((size_t)(size + 7) / 8 != bytes)
        return um_fail(UM_E_DATA, "a residual of %zu bytes; these parameters ask for %lld", bytes, (long long)(size + 7) / 8);
    for (int64_t p = 0; p < logo->h * logo->w; p++) {
        uint8_t *to = sample(image, logo, t, p);
        int k = um_logo_opacity(logo, p, t->alpha, rule), n = um_residual_bits(k);
        for (int64_t ch = 0; k > 0 && ch < image->c; ch++) {
            int first = 0, index = get_bits(residual, at, n);
            if (index >= um_blend_preimages(to[ch], um_logo_level(logo, p, ch, image->c), k, &first))
                return um_fail(UM_E_DATA, "the residual does not fit the image at logo pixel %ld: it is not the marked image",
                               (long)p);
            to[ch] = (uint8_t)(first + index);
            at += n;
        }
    }
done:
    return rc;
}

static void add_u32(um_sha256 *s, int64_t value)
{
    uint8_t le[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};
    um_sha256_add(s, le, sizeof le);
}

void um_bytes_sha256(const um_bytes *image, char out[UM_SHA256_HEX])
{
    um_sha256 s;
    um_sha256_init(&s);
    um_sha256_add(&s, "PIX1", 4);
    add_u32(&s, image->h), add_u32(&s, image->w), add_u32(&s, image->c);
    um_sha256_add(&s, image->data, (size_t)(image->h * image->w * image->c));
    um_sha256_hex(&s, out);
}

void um_logo_sha256(const um_logo *l, char out[UM_SHA256_HEX])
{
    um_sha256 s;
    um_sha256_init(&s);
    add_u32(&s, l->h), add_u32(&s, l->w), add_u32(&s, 4);
    um_sha256_add(&s, l->rgba, (size_t)(4 * l->h * l->w));
    um_sha256_hex(&s, out);
}
