#include "medlocker/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { NONCE = 12, TAG = 16, KEY_TEXT = 2 * UM_KEY_RAW + 1 };

void um_secret_wipe(um_secret *s)
{
    OPENSSL_cleanse(s, sizeof *s);
}

void um_hex(char *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = 0;
}

bool um_unhex(uint8_t *out, const char *text, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 2 * n)
        return false;
    for (size_t i = 0; i < 2 * n; i++) {
        const char *at = text[i] ? strchr(digits, text[i]) : NULL;
        if (!at)
            return false;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] << 4 | (at - digits) : at - digits);
    }
    return true;
}

um_status um_secret_write(const um_secret *s, const char *path)
{
    um_status rc = UM_OK;
    char text[KEY_TEXT + 1];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return um_fail(errno == EEXIST ? UM_E_USAGE : UM_E_IO, "key file %s cannot be made: %s", path, strerror(errno));
    um_hex(text, s->key, UM_KEY_RAW);
    text[KEY_TEXT - 1] = '\n';
    if (write(fd, text, KEY_TEXT) != KEY_TEXT || fsync(fd) != 0)
        rc = um_fail(UM_E_IO, "key file %s cannot be written: %s", path, strerror(errno));
    close(fd);
    if (rc != UM_OK)
        unlink(path);
    OPENSSL_cleanse(text, sizeof text);
    return rc;
}

um_status um_secret_create(const char *path)
{
    um_status rc = UM_OK;
    um_secret s;
    if (RAND_bytes(s.key, sizeof s.key) != 1)
        return um_fail(UM_E_IO, "the system gives no random bytes for a key");
    rc = um_secret_write(&s, path);
    um_secret_wipe(&s);
    return rc;
}

static um_status check_private(int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return um_fail(UM_E_IO, "key file %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return um_fail(UM_E_DATA, "key file %s is not a regular file", path);
    if (st.st_uid != geteuid())
        return um_fail(UM_E_CONFIG, "key file %s belongs to another user; keep your key in a file of your own", path);
    if (st.st_mode & 077)
        return um_fail(UM_E_CONFIG,
                       "key file %s has mode %04o, so others may use it; run chmod 600 on it, and make a new key if they may have",
                       path, (unsigned)(st.st_mode & 07777));
    return UM_OK;
}

um_status um_secret_read(um_secret *out, const char *path)
{
    um_status rc = UM_OK;
    char text[KEY_TEXT + 2] = "";
    um_secret s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return um_fail(UM_E_IO, "key file %s cannot be opened: %s", path, strerror(errno));
    UM_TRY(check_private(fd, path));
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n == KEY_TEXT && text[n - 1] == '\n')
        text[--n] = 0;
    if (n != KEY_TEXT - 1 || !um_unhex(s.key, text, UM_KEY_RAW))
        UM_TRY(um_fail(UM_E_DATA, "key file %s does not hold a key (64 lower case hex digits)", path));
    *out = s;
done:
    close(fd);
    OPENSSL_cleanse(text, sizeof text);
    um_secret_wipe(&s);
    return rc;
}

um_status um_secret_mac(uint8_t out[32], const um_secret *s, const char *label, const void *data, size_t bytes)
{
    um_status rc = UM_OK;
    size_t n = strlen(label) + 1;
    uint8_t *text = NULL;
    UM_TRY(UM_NEW_ARRAY(text, n + bytes));
    memcpy(text, label, n);
    if (bytes)
        memcpy(text + n, data, bytes);
    if (!HMAC(EVP_sha256(), s->key, UM_KEY_RAW, text, n + bytes, out, NULL))
        rc = um_fail(UM_E_BUG, "HMAC-SHA256 failed");
done:
    um_free(text);
    return rc;
}

um_status um_secret_derive(um_secret *out, const um_secret *s, const char *label, const void *data, size_t bytes)
{
    return um_secret_mac(out->key, s, label, data, bytes);
}

um_status um_secret_serial(uint8_t out[UM_SERIAL_RAW], const um_secret *s, uint64_t seed, const char *image)
{
    um_status rc = UM_OK;
    size_t n = strlen(image);
    uint8_t *text = NULL, mac[32];
    UM_TRY(UM_NEW_ARRAY(text, n + 8));
    for (int i = 0; i < 8; i++)
        text[i] = (uint8_t)(seed >> (8 * i));
    memcpy(text + 8, image, n);
    UM_TRY(um_secret_mac(mac, s, "wmc1 serial", text, n + 8));
    memcpy(out, mac, UM_SERIAL_RAW);
done:
    um_free(text);
    return rc;
}

um_status um_secret_seal(uint8_t *sealed, const um_secret *s, const void *aad, size_t aad_bytes, const void *plain, size_t bytes)
{
    int n = 0, end = 0;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool good = c && RAND_bytes(sealed, NONCE) == 1 && EVP_EncryptInit_ex(c, EVP_chacha20_poly1305(), NULL, s->key, sealed) == 1 &&
                EVP_EncryptUpdate(c, NULL, &n, aad, (int)aad_bytes) == 1 &&
                EVP_EncryptUpdate(c, sealed + NONCE, &n, plain, (int)bytes) == 1 &&
                EVP_EncryptFinal_ex(c, sealed + NONCE + n, &end) == 1 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, sealed + NONCE + bytes) == 1;
    EVP_CIPHER_CTX_free(c);
    return good ? UM_OK : um_fail(UM_E_BUG, "ChaCha20-Poly1305 failed to seal %zu bytes", bytes);
}

um_status um_secret_open(uint8_t *plain, const um_secret *s, const void *aad, size_t aad_bytes, const uint8_t *sealed, size_t bytes)
{
    um_status rc = UM_OK;
    int n = 0, end = 0;
    uint8_t *text = NULL, tag[TAG];
    EVP_CIPHER_CTX *c = NULL;
    if (bytes < UM_SEAL_EXTRA)
        return um_fail(UM_E_DATA, "a sealed record of %zu bytes is too short", bytes);
    size_t inner = bytes - UM_SEAL_EXTRA;
    UM_TRY(UM_NEW_ARRAY(text, inner));
    memcpy(tag, sealed + NONCE + inner, TAG);
    c = EVP_CIPHER_CTX_new();
    bool good = c && EVP_DecryptInit_ex(c, EVP_chacha20_poly1305(), NULL, s->key, sealed) == 1 &&
                EVP_DecryptUpdate(c, NULL, &n, aad, (int)aad_bytes) == 1 &&
                EVP_DecryptUpdate(c, text, &n, sealed + NONCE, (int)inner) == 1 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1 && EVP_DecryptFinal_ex(c, text + n, &end) == 1;
    if (!good)
        UM_TRY(um_fail(UM_E_DATA, "a sealed record does not open: another key, another user, or it was changed"));
    if (inner)
        memcpy(plain, text, inner);
done:
    EVP_CIPHER_CTX_free(c);
    um_free(text);
    return rc;
}

bool um_secret_equal(const void *a, const void *b, size_t bytes)
{
    return CRYPTO_memcmp(a, b, bytes) == 0;
}
