/* Certificates made while the tests run, in a temporary folder. */
#pragma once

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "helper_loop.h"

struct helper_authority {
    char folder[64];
    EVP_PKEY *key;
    X509 *certificate;
    long serial;
};

static inline const char *helper_path(const struct helper_authority *authority, const char *name,
                                      char ret[PATH_MAX])
{
    snprintf(ret, PATH_MAX, "%s/%s", authority->folder, name);
    return ret;
}

static inline void helper_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline X509 *helper_sign(struct helper_authority *authority, EVP_PKEY *key, X509 *issuer,
                                const char *name, const char *alternatives, long from_s, long to_s)
{
    X509 *certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++authority->serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), to_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer : certificate));
    X509_set_pubkey(certificate, key);
    helper_add_extension(certificate, issuer ? issuer : certificate, NID_basic_constraints,
                         issuer ? "CA:FALSE" : "critical,CA:TRUE");
    if (alternatives)
        helper_add_extension(certificate, issuer, NID_subject_alt_name, alternatives);
    assert_true(X509_sign(certificate, authority->key, EVP_sha256()) > 0);
    return certificate;
}

static inline void helper_write_certificate(const char *path, X509 *certificate)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    PEM_write_X509(file, certificate);
    fclose(file);
}

/* Writes ca.pem. */
static inline void helper_authority_init(struct helper_authority *authority)
{
    char path[PATH_MAX];
    *authority = (struct helper_authority){.folder = "/tmp/parley-test-XXXXXX"};
    assert_non_null(mkdtemp(authority->folder));
    authority->key = EVP_EC_gen("P-256");
    authority->certificate =
        helper_sign(authority, authority->key, NULL, "Test authority", NULL, -3600, 3600);
    helper_write_certificate(helper_path(authority, "ca.pem", path), authority->certificate);
}

/* Writes <name>.pem and <name>.key. `alternatives` as in openssl.cnf: "DNS:a.test,IP:127.0.0.1". */
static inline void helper_issue(struct helper_authority *authority, const char *name,
                                const char *alternatives, long from_s, long to_s)
{
    char file_name[64], path[PATH_MAX];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate =
        helper_sign(authority, key, authority->certificate, name, alternatives, from_s, to_s);
    snprintf(file_name, sizeof file_name, "%s.pem", name);
    helper_write_certificate(helper_path(authority, file_name, path), certificate);
    snprintf(file_name, sizeof file_name, "%s.key", name);
    FILE *file = fopen(helper_path(authority, file_name, path), "w");
    assert_non_null(file);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static inline void helper_authority_done(struct helper_authority *authority)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", authority->folder);
    assert_int_equal(system(command), 0);
    X509_free(authority->certificate);
    EVP_PKEY_free(authority->key);
}
