/* Foreign: one list of names. */
#include "llm/foreign.h"

static const char *const names[] = {
    "api_base",
    "base_url",
    "api_host",
    "api_key",
    "azure_endpoint",
    "azure_ad_token",
    "azure_ad_token_provider",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_bedrock_runtime_endpoint",
    "aws_sts_endpoint",
    "aws_web_identity_token",
    "aws_role_name",
    "aws_profile_name",
    "vertex_credentials",
    "vertex_ai_credentials",
    "litellm_credential_name",
    "litellm_params",
    "user_config",
    "client_secret",
    "extra_headers",
    "default_headers",
};

/* Also in other cases of its letters: some readers do not tell them apart. */
bool llm_is_redirection(struct str key)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq_nocase(key, str_from_cstr(names[i])))
            return true;
    return false;
}

enum err llm_refuse_redirection(struct str name, struct error *error)
{
    char field[64];
    str_copy(name, field, sizeof field);
    return error_set(error, ERR_INVALID, field,
                     "is refused: where a request goes and who signs it is Parley's matter");
}

enum err llm_refuse_redirections(yyjson_val *root, struct error *error)
{
    size_t index, count;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(root))
        return ERR_OK;
    yyjson_obj_foreach (root, index, count, key, value) {
        struct str name = json_str(key);
        if (llm_is_redirection(name))
            return llm_refuse_redirection(name, error);
    }
    return ERR_OK;
}
